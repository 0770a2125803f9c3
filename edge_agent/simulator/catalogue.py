"""The kinds of machine that the simulator knows: tables, no branches.

Gains are five to ten times a metric's noise, so that wear shows days ahead; offsets between machines, load and season
are of the noise's size or larger, so that no fixed limit finds it.
"""

from edge_agent.simulator.kinds import Component, Effect, Kind, Metric, Symptom

AMBIENT = Metric("ambient_temperature", "degC", base=18.0, noise=0.4, season=1.0, always=True, low=-30.0, decimals=1)

PRESSURE_WASHER = Kind(
    kind="pressure_washer",
    code="HDX-180",
    name="Pressure washer HDX 180",
    prefix="PW",
    hours_a_day=(7.0, 12.0),
    window=(6.0, 20.0),
    sessions=(1, 3),
    idle_days=0.06,
    metrics=(
        Metric("pump_pressure", "bar", base=180.0, noise=2.5, spread=3.5, load=6.0, decimals=1),
        Metric("water_flow", "l/min", base=13.0, noise=0.18, spread=0.2, load=0.5),
        Metric("motor_current", "A", base=14.0, noise=0.3, spread=0.4, load=2.0, season=0.01),
        Metric("motor_temperature", "degC", base=68.0, noise=1.6, spread=2.0, load=8.0, season=0.7, decimals=1),
        Metric("vibration_velocity", "mm/s", base=2.2, noise=0.15, spread=0.2, load=0.3),
        AMBIENT,
    ),
    components=(
        Component(
            "pump_seal", "HDX-SEAL-01", "Pump seal kit", "hydraulics", 75, 126000, 16000, 1250.0, 3.0,
            effects=(Effect("pump_pressure", -19.0), Effect("water_flow", -1.3), Effect("vibration_velocity", 0.4)),
            symptoms=(Symptom("E21", 0.09), Symptom("E20", 0.03)),
            failure_code="F21",
        ),
        Component(
            "motor_brushes", "HDX-BRUSH-02", "Carbon brush set", "electrics", 45, 108000, 12000, 1150.0, 3.5,
            effects=(Effect("motor_current", 2.2), Effect("motor_temperature", 12.0, 4.0),
                     Effect("vibration_velocity", 0.5)),
            symptoms=(Symptom("E31", 0.09, "error"), Symptom("E30", 0.02)),
            failure_code="F31",
        ),
        Component(
            "unloader_valve", "HDX-VALVE-03", "Unloader valve", "hydraulics", 60, 117000, 14500, 1450.0, 3.0,
            effects=(Effect("pump_pressure", 15.0), Effect("motor_current", 1.3), Effect("water_flow", -0.7)),
            symptoms=(Symptom("E22", 0.09), Symptom("E20", 0.03)),
            failure_code="F22",
        ),
        Component(
            "pump_bearing", "HDX-BEAR-04", "Pump bearing", "mechanics", 120, 174000, 24000, 1900.0, 3.5,
            effects=(Effect("vibration_velocity", 1.9, 4.0), Effect("motor_temperature", 5.0)),
            symptoms=(Symptom("E41", 0.1, "error"),),
            failure_code="F41",
        ),
    ),
    nuisance=Symptom("E02", 0.004, "info"),
)  # fmt: skip

ROBOT_VACUUM = Kind(
    kind="robot_vacuum",
    code="RVX-9",
    name="Robot vacuum RVX 9",
    prefix="RV",
    hours_a_day=(8.0, 14.0),
    window=(7.0, 23.0),
    sessions=(2, 4),
    idle_days=0.04,
    metrics=(
        Metric("brush_current", "A", base=1.1, noise=0.05, spread=0.06, load=0.25, decimals=3),
        Metric("wheel_current", "A", base=0.55, noise=0.03, spread=0.03, load=0.12, decimals=3),
        Metric("suction_pressure", "kPa", base=4.2, noise=0.08, spread=0.1, load=0.2),
        Metric("battery_voltage", "V", base=14.8, noise=0.09, spread=0.08, load=-0.3, season=0.006, always=True),
        Metric("battery_temperature", "degC", base=31.0, noise=0.8, spread=1.0, load=4.0, season=0.4, decimals=1),
        AMBIENT,
    ),
    components=(
        Component(
            "main_brush", "RVX-BRUSH-01", "Main brush", "mechanics", 20, 45000, 6000, 1100.0, 3.0,
            effects=(Effect("brush_current", 0.40), Effect("suction_pressure", -0.25)),
            symptoms=(Symptom("V11", 0.09), Symptom("V10", 0.02)),
            failure_code="X11",
        ),
        Component(
            "battery", "RVX-BATT-02", "Battery pack", "electrics", 25, 66000, 11000, 1400.0, 4.0,
            effects=(Effect("battery_voltage", -0.75), Effect("battery_temperature", 6.5)),
            symptoms=(Symptom("V21", 0.09, "error"),),
            failure_code="X21",
        ),
        Component(
            "wheel_motor", "RVX-WHEEL-03", "Wheel motor", "electrics", 35, 60000, 8500, 1500.0, 3.0,
            effects=(Effect("wheel_current", 0.24), Effect("battery_temperature", 1.5)),
            symptoms=(Symptom("V31", 0.1), Symptom("V10", 0.02)),
            failure_code="X31",
        ),
        Component(
            "suction_fan", "RVX-FAN-04", "Suction fan", "electrics", 40, 63000, 9500, 1900.0, 3.5,
            effects=(Effect("suction_pressure", -0.75), Effect("battery_temperature", 1.5)),
            symptoms=(Symptom("V41", 0.1),),
            failure_code="X41",
        ),
    ),
    nuisance=Symptom("V02", 0.01, "info"),
)  # fmt: skip

GAS_WATER_HEATER = Kind(
    kind="gas_water_heater",
    code="GWH-24",
    name="Gas water heater GWH 24",
    prefix="WH",
    hours_a_day=(8.0, 15.0),
    window=(5.0, 23.0),
    sessions=(2, 4),
    idle_days=0.02,
    metrics=(
        Metric("outlet_temperature", "degC", base=52.0, noise=0.5, spread=0.6, load=-1.2, season=0.05),
        Metric("flue_temperature", "degC", base=118.0, noise=2.0, spread=3.0, load=6.0, season=0.3, decimals=1),
        Metric("hot_water_flow", "l/min", base=9.0, noise=0.3, spread=0.15, load=1.0),
        Metric("flame_current", "uA", base=6.5, noise=0.2, spread=0.25, load=0.2),
        Metric("ignition_time", "s", base=1.6, noise=0.12, spread=0.12, season=-0.01),
        Metric("fan_speed", "rpm", base=2350.0, noise=25.0, spread=30.0, load=150.0, season=-4.0, decimals=0),
        AMBIENT,
    ),
    components=(
        Component(
            "heat_exchanger", "GWH-EXCH-01", "Heat exchanger", "gas", 150, 264000, 42000, 1650.0, 3.5,
            effects=(Effect("flue_temperature", 18.0), Effect("outlet_temperature", -3.0),
                     Effect("hot_water_flow", -0.5)),
            symptoms=(Symptom("H11", 0.09, "error"), Symptom("H10", 0.02)),
            failure_code="G11",
        ),
        Component(
            "ignition_electrode", "GWH-IGN-02", "Ignition electrode", "gas", 40, 102000, 9500, 1250.0, 3.0,
            effects=(Effect("flame_current", -1.6), Effect("ignition_time", 1.0)),
            symptoms=(Symptom("H21", 0.1), Symptom("H10", 0.02)),
            failure_code="G21",
        ),
        Component(
            "flow_sensor", "GWH-FLOW-03", "Flow sensor", "gas", 35, 90000, 9000, 1500.0, 3.0,
            effects=(Effect("hot_water_flow", -2.0), Effect("outlet_temperature", 1.6)),
            symptoms=(Symptom("H31", 0.1),),
            failure_code="G31",
        ),
        Component(
            "combustion_fan", "GWH-FAN-04", "Combustion fan", "gas", 70, 141000, 21000, 1900.0, 3.5,
            effects=(Effect("fan_speed", -190.0), Effect("ignition_time", 0.35), Effect("flue_temperature", 5.0)),
            symptoms=(Symptom("H41", 0.1, "error"),),
            failure_code="G41",
        ),
    ),
    nuisance=Symptom("H02", 0.005, "info"),
)  # fmt: skip

WASHING_MACHINE = Kind(
    kind="washing_machine",
    code="WMX-11",
    name="Washing machine WMX 11",
    prefix="WM",
    hours_a_day=(8.0, 14.0),
    window=(6.0, 23.0),
    sessions=(2, 4),
    idle_days=0.05,
    metrics=(
        Metric("drum_vibration", "mm/s", base=3.4, noise=0.3, spread=0.3, load=0.8),
        Metric("drum_motor_current", "A", base=2.6, noise=0.12, spread=0.12, load=0.6),
        Metric("drain_time", "s", base=48.0, noise=1.8, spread=2.0, load=5.0, decimals=1),
        Metric("drain_pump_current", "A", base=0.32, noise=0.012, spread=0.012, load=0.02, decimals=3),
        Metric("leak_moisture", "%", base=9.0, noise=0.8, spread=1.0, season=0.08, always=True, high=100.0, decimals=1),
        Metric("spin_speed", "rpm", base=1390.0, noise=7.0, spread=6.0, load=-20.0, decimals=0),
        AMBIENT,
    ),
    components=(
        Component(
            "drain_pump", "WMX-PUMP-01", "Drain pump", "hydraulics", 50, 93000, 11500, 1300.0, 3.0,
            effects=(Effect("drain_time", 16.0), Effect("drain_pump_current", 0.09)),
            symptoms=(Symptom("W11", 0.1), Symptom("W10", 0.02)),
            failure_code="D11",
        ),
        Component(
            "door_seal", "WMX-SEAL-02", "Door seal", "mechanics", 60, 135000, 12500, 1500.0, 3.0,
            effects=(Effect("leak_moisture", 8.0),),
            symptoms=(Symptom("W21", 0.1, "error"),),
            failure_code="D21",
        ),
        Component(
            "bearing", "WMX-BEAR-03", "Drum bearing", "mechanics", 140, 186000, 28000, 1500.0, 3.5,
            effects=(Effect("drum_vibration", 2.9), Effect("drum_motor_current", 0.5)),
            symptoms=(Symptom("W31", 0.09, "error"), Symptom("W10", 0.02)),
            failure_code="D31",
        ),
        Component(
            "drive_belt", "WMX-BELT-04", "Drive belt", "mechanics", 45, 84000, 9000, 1600.0, 3.0,
            effects=(Effect("spin_speed", -60.0), Effect("drum_motor_current", 0.75)),
            symptoms=(Symptom("W41", 0.1),),
            failure_code="D41",
        ),
    ),
    nuisance=Symptom("W02", 0.006, "info"),
)  # fmt: skip

KINDS = (PRESSURE_WASHER, ROBOT_VACUUM, GAS_WATER_HEATER, WASHING_MACHINE)
