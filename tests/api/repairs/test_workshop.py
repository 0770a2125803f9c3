"""The workshop over HTTP: central repair with its costs, parts that come later, delays, exchange, parcels, loaners."""

from datetime import date, timedelta

DAY = timedelta(days=1)


def _ahead(repair):
    return {node["node"]: node["expected_on"] for node in repair["nodes"] if node["done_at"] is None}


def test_a_central_repair_costs_the_customer_nothing_and_its_whole_cost_is_known(bench, refusal, now):
    loaner_serial = "K5-LOAN"
    bench.agent.post("/v1/assets", {"serial": loaner_serial, "model": "K5", "installed_at": "2026-01-01T00:00:00Z"})
    loaner = bench.agent.post("/v1/loaners", {"serial": loaner_serial, "day_cost_minor": 300})
    repair = bench.repair(central=True, old_part_wanted=True)
    path = f"/v1/repairs/{repair['repair_id']}"
    # By the standard three business days until it is here; no quote lies ahead although it is out of warranty.
    assert _ahead(repair)["received"] == "2026-07-09"
    assert "quoted" not in _ahead(repair)
    pickup = {"carrier": "Van", "pickup_from": "2026-07-07T08:00:00Z", "pickup_until": "2026-07-07T12:00:00Z"}
    address = "Hauptstr. 1, Ulm"
    repair = bench.agent.post(f"{path}/pickup", {**pickup, "address": address, "freight_minor": 900}, now=now)
    label, fetched = repair["shipments"]
    assert (label["cancelled_at"] is not None, fetched["method"], fetched["cancelled_at"]) == (True, "pickup", None)
    assert "Van fetches the machine on 2026-07-07" in bench.alerts("repair.moved")[-1]["body"]
    bench.agent.post(f"{path}/loan", {"loaner_id": loaner["loaner_id"], "due_back_on": "2026-07-20"}, now=now)

    repair = _arrived(bench, refusal, repair, now)
    repair = bench.act(repair, "diagnose", labour_minutes=20, component="motor", cause="misuse")
    assert (repair["bearer"], repair["warranty"]["covered"]) == ("maker", False)
    assert refusal(bench.act, repair, "quote").type == "/problems/no-quote-needed"
    repair = bench.act(repair, "parts", parts=[{"sku": "MOTOR"}, {"sku": "SEAL", "quantity": 2}])
    assert [(part["sku"], part["state"]) for part in repair["parts"]] == [("MOTOR", "reserved"), ("SEAL", "reserved")]
    repair = bench.act(bench.act(repair, "start"), "finish", labour_minutes=50)
    repair = bench.test(bench.act(bench.test(repair, passed=False), "finish", labour_minutes=10), passed=True)
    assert [run["passed"] for run in repair["tests"]] == [False, True]
    repair = bench.act(repair, "ship", freight_minor=1_100)
    contents = [(item["kind"], item["code"], item["quantity"]) for item in repair["shipments"][-1]["contents"]]
    assert contents == [
        ("machine", "K5-OLD", 1),
        ("accessory", "hose", 1),
        ("old_part", "MOTOR", 1),
        ("old_part", "SEAL", 2),
    ]
    repair = bench.act(repair, "deliver")
    job = bench.agent.get(f"/v1/jobs/{repair['job_id']}")
    assert (job["state"], job["outcome"], job["visit"]) == ("completed", "confirmed", None)
    assert bench.agent.get(f"/v1/tickets/{repair['ticket_id']}")["outcome"] == "confirmed"
    assert refusal(bench.act, repair, "close").type == "/problems/loan-open"
    (loan,) = bench.agent.pages("/v1/loans")
    bench.agent.post(f"/v1/loans/{loan['loan_id']}/return", {"condition": "clean"}, now=now + 3 * DAY)
    assert bench.act(repair, "close")["state"] == "closed"

    _costs(bench, refusal, path)


def _arrived(bench, refusal, repair, now):
    """The machine came, with a photo; another one, or a photo of nobody's, is refused."""
    other = refusal(bench.act, repair, "receive", serial="K5-NEW")
    assert (other.type, other.problem["expected"]) == ("/problems/another-machine", "K5-OLD")
    photo = bench.agent._http.post(
        "/v1/files?name=box.png", content=b"\x89PNG\r\n\x1a\n" + b"\0" * 32, headers={"Careloop-Now": now.isoformat()}
    ).json()["file_id"]
    unknown = refusal(bench.act, repair, "receive", photo_file_ids=[photo, 999])
    assert unknown.problem["errors"][0]["field"] == "body.photo_file_ids.1"
    repair = bench.act(repair, "receive", photo_file_ids=[photo], accessories=[{"name": "hose"}])
    assert repair["parcel"]["photo_file_ids"] == [photo]
    assert bench.customer.get(f"/v1/files/{photo}")["ticket_id"] == repair["ticket_id"]
    return repair


def _costs(bench, refusal, path):
    """Parts at cost, time, freight both ways and the loaner, by kind and together; none of it the customer's."""
    entered = bench.agent.post(f"{path}/costs", {"description": "Customs", "amount_minor": 77, "currency": "CHF"})
    assert {(cost["kind"], cost["currency"]): cost["amount_minor"] for cost in entered["sums"]} == {
        ("part", "EUR"): 9_000 + 2 * 150,
        ("labour", "EUR"): 1_400 + 3_500 + 700,
        ("freight_in", "EUR"): 900,
        ("freight_out", "EUR"): 1_100,
        ("loaner", "EUR"): 900,
        ("other", "CHF"): 77,
        ("", "EUR"): 17_800,
        ("", "CHF"): 77,
    }
    assert bench.customer.get(path)["state"] == "closed"
    assert refusal(bench.customer.get, f"{path}/costs").status == 403
    assert bench.rows("SELECT count(*) AS n FROM service.quote")[0]["n"] == 0
    stock = {row["sku"]: (row["on_hand"], row["reserved"]) for row in bench.agent.pages("/v1/parts/stock")}
    assert stock == {"MOTOR": (59, 0), "SEAL": (58, 0)}


def test_a_missing_part_moves_the_days_and_is_kept_when_it_comes(bench, refusal, now):
    bench.agent.post("/v1/parts", {"sku": "RARE", "name": "Rare", "lead_time_days": 28})
    repair = bench.act(bench.act(bench.repair("K5-NEW"), "receive"), "diagnose")
    assert repair["bearer"] == "maker"
    before = _ahead(repair)
    repair = bench.act(repair, "parts", parts=[{"sku": "RARE"}, {"sku": "SEAL"}])
    assert _ahead(repair)["parts"] == "2026-08-03"
    for node, day in before.items():
        assert _ahead(repair)[node] > day
    refused = refusal(bench.act, repair, "start")
    assert (refused.type, refused.problem["parts"]) == ("/problems/parts-missing", ["RARE"])
    assert bench.run(now + DAY)["awaited-parts"] == 0
    delivery = {"sku": "RARE", "warehouse": "HUB", "kind": "receipt", "quantity": 1, "cause": "delivery 2"}
    bench.service.post("/v1/parts/movements", delivery, now=now + DAY)
    assert bench.run(now + DAY)["awaited-parts"] == 1
    assert [part["state"] for part in bench.get(repair)["parts"]] == ["reserved", "reserved"]
    # Sent back after all, the parts are free again.
    repair = bench.act(repair, "return", now=now + DAY)
    assert [part["state"] for part in repair["parts"]] == ["released", "released"]
    assert bench.agent.get(f"/v1/tickets/{repair['ticket_id']}")["state"] == "resolved"


def test_a_delay_is_told_and_a_late_node_is_found_once(bench, refusal, now):
    repair = bench.repair()
    path = f"/v1/repairs/{repair['repair_id']}"
    before = _ahead(repair)
    body = {"reason": "carrier", "business_days": 5, "note": "Strike."}
    later = bench.agent.post(f"{path}/delay", body, now=now)
    for node, day in before.items():
        # Five business days are a week.
        assert date.fromisoformat(_ahead(later)[node]) == date.fromisoformat(day) + 7 * DAY
    assert [node["first_expected_on"] for node in later["nodes"]] == list(before.values())
    assert [(delay["reason"], delay["node"]) for delay in later["delays"]] == [("carrier", "received")]
    (told,) = bench.alerts("repair.delayed")
    assert "It takes longer than we told you: the carrier is late." in told["body"]
    assert "Strike." in told["body"]

    due = date.fromisoformat(_ahead(later)["received"])
    assert [bench.run(now + days * DAY)["late-repairs"] for days in ((due - now.date()).days, 20, 21)] == [0, 1, 0]
    (late,) = bench.agent.pages("/v1/repairs", overdue=True)
    assert late["repair_id"] == repair["repair_id"]
    assert len(bench.alerts("repair.overdue")) == 1
    # The next days are reckoned from when it came, and it is late no more.
    repair = bench.act(repair, "receive", now=now + 30 * DAY)
    assert repair["overdue_since"] is None
    assert _ahead(repair)["diagnosed"] == "2026-08-07"
    assert list(bench.agent.pages("/v1/repairs", overdue=True)) == []
    done = bench.act(bench.act(repair, "scrap"), "close")
    assert refusal(bench.agent.post, f"{path}/delay", body).type == "/problems/repair-state"
    assert done["next_node"] is None


def test_an_exchanged_machine_takes_the_warranty_along(bench, refusal, now):
    lines = [{"months": 100}, {"component": "motor", "months": 2}]
    policy = {"code": "P", "name": "Washers", "kind": "pressure_washer", "valid_from": "2015-01-01", "lines": lines}
    bench.lead.post("/v1/warranty-policies", policy, now=now)
    repair = bench.act(bench.act(bench.repair("K5-NEW", mode="drop_off"), "receive"), "diagnose")
    assert "shipped" not in _ahead(repair)
    taken = refusal(bench.act, repair, "exchange", serial="K5-OLD")
    assert taken.type == "/problems/serial-taken"
    repair = bench.act(repair, "exchange", serial="K5-SWAP", cost_minor=20_000)
    assert (repair["replacement_serial"], list(_ahead(repair))) == ("K5-SWAP", ["delivered", "closed"])
    swap = bench.customer.get("/v1/assets/K5-SWAP")
    assert swap["customer_id"] == bench.customer_id
    assert bench.agent.get("/v1/assets/K5-NEW")["state"] == "retired"
    # The policy's hundred months run since the old machine was installed in May 2020, and the motor's two; the promise
    # given by hand is copied.
    for component, days in ((None, {"2028-08-31": True, "2028-09-01": False}), ("motor", {"2026-12-31": True})):
        for day, covered in days.items():
            asked = {"on": day, "component": component, "now": now}
            assert bench.agent.get("/v1/assets/K5-SWAP/warranty", **asked)["covered"] is covered
    assert (
        bench.agent.get("/v1/assets/K5-SWAP/warranty", on="2027-01-01", component="motor", now=now)["covered"] is False
    )
    repair = bench.act(repair, "hand-over")
    assert bench.agent.get(f"/v1/tickets/{repair['ticket_id']}")["state"] == "resolved"


def test_customers_send_their_own_machines_in(bench, refusal, now):
    ticket = {"kind": "repair", "serial": "K5-OLD", "title": "Does not run", "service_mode": "mail_in"}
    ticket_id = bench.customer.post("/v1/tickets", ticket, now=now)["ticket_id"]
    free = refusal(bench.customer.post, "/v1/repairs", {"ticket_id": ticket_id, "central": True}, now=now)
    assert free.problem["errors"][0]["field"] == "body.central"
    repair = bench.customer.post("/v1/repairs", {"ticket_id": ticket_id}, now=now)
    assert (repair["state"], repair["next_node"]) == ("label", "received")
    label = repair["shipments"][0]["label_file_id"]
    assert bench.customer.get_text(f"/v1/files/{label}/content").startswith("%PDF")
    assert bench.act(repair, "receive")["state"] == "received"


def test_repairs_are_found_by_ticket_machine_state_and_label(bench, refusal, now):
    first = bench.repair()
    # The open one of the ticket is the answer to a second wish.
    assert bench.agent.post("/v1/repairs", {"ticket_id": first["ticket_id"]}, now=now) == first
    second = bench.act(bench.repair("K5-NEW"), "receive")

    def found(**wanted):
        return [row["repair_id"] for row in bench.agent.pages("/v1/repairs", **wanted)]

    numbers = [first["repair_id"], second["repair_id"]]
    assert found() == numbers
    assert found(state="label") == numbers[:1]
    assert found(serial="K5-NEW") == numbers[1:]
    assert found(ticket_id=first["ticket_id"]) == numbers[:1]
    assert found(label=second["shipments"][0]["tracking_number"]) == numbers[1:]
    assert refusal(found, state="lost").status == 422
    carrier = {"carrier": "Post", "tracking_number": "1Z-9"}
    labelled = bench.agent.post(f"/v1/repairs/{numbers[0]}/label", carrier, now=now)
    assert [parcel["carrier"] for parcel in labelled["shipments"]] == ["any carrier", "Post"]
    assert refusal(bench.agent.post, f"/v1/repairs/{numbers[1]}/label", carrier).type == "/problems/repair-state"
    third = bench.repair(bench.machine())
    known = refusal(bench.agent.post, f"/v1/repairs/{third['repair_id']}/label", carrier, now=now)
    assert known.type == "/problems/parcel-known"
    on_site = {"kind": "repair", "serial": "K5-OLD", "title": "Leaks", "service_mode": "on_site"}
    ticket_id = bench.agent.post("/v1/tickets", on_site, now=now)["ticket_id"]
    wrong = refusal(bench.agent.post, "/v1/repairs", {"ticket_id": ticket_id, "mode": "mail_in"})
    assert wrong.problem["errors"][0]["field"] == "body.mode"


def test_a_loaner_is_lent_to_one_at_a_time_and_asked_for_when_late(bench, api, at_once, refusal, now):
    for serial in ("LOAN-1", "LOAN-2"):
        bench.agent.post("/v1/assets", {"serial": serial, "model": "K5", "installed_at": "2026-01-01T00:00:00Z"})
    first, second = (bench.agent.post("/v1/loaners", {"serial": serial}) for serial in ("LOAN-1", "LOAN-2"))
    assert refusal(bench.agent.post, "/v1/loaners", {"serial": "LOAN-1"}).type == "/problems/loaner-known"
    assert refusal(bench.agent.post, "/v1/loaners", {"serial": "K5-OLD"}).status == 422
    repairs = [bench.repair(bench.machine()) for _ in range(4)]
    body = {"loaner_id": first["loaner_id"], "due_back_on": "2026-07-10"}

    def lend(client, repair):
        return client.post(f"/v1/repairs/{repair['repair_id']}/loan", body, now=now)

    answers = at_once(lend, repairs)
    lent = [answer for answer in answers if isinstance(answer, dict)]
    assert len(lent) == 1
    assert {answer.type for answer in answers if not isinstance(answer, dict)} == {"/problems/loaner-lent"}
    (loan,) = lent
    assert [row["serial"] for row in bench.agent.pages("/v1/loaners", free=True)] == ["LOAN-2"]
    path = f"/v1/repairs/{loan['repair_id']}/loan"
    another = {**body, "loaner_id": second["loaner_id"]}
    assert refusal(bench.agent.post, path, another, now=now).type == "/problems/loan-open"
    past = {**another, "due_back_on": "2026-07-05"}
    free = next(repair for repair in repairs if repair["repair_id"] != loan["repair_id"])
    assert refusal(bench.agent.post, f"/v1/repairs/{free['repair_id']}/loan", past, now=now).status == 422

    key = f"/v1/loans/{loan['loan_id']}"
    assert [bench.run(now + days * DAY)["late-loaners"] for days in (4, 6, 7)] == [0, 1, 0]
    assert bench.agent.get(key)["state"] == "overdue"
    assert "due back on Fri 10 Jul 2026" in bench.alerts("repair.loaner")[-1]["body"]
    extended = bench.agent.post(f"{key}/extend", {"due_back_on": "2026-07-24"}, now=now + 7 * DAY)
    assert (extended["state"], extended["due_back_on"]) == ("lent", "2026-07-24")
    lost = bench.agent.post(f"{key}/lose", {"reason": "stolen"}, now=now + 8 * DAY)
    assert lost["state"] == "lost"
    for action, wanted in (
        ("extend", {"due_back_on": "2026-08-24"}),
        ("return", {"condition": "x"}),
        ("lose", {"reason": "x"}),
    ):
        assert refusal(bench.agent.post, f"{key}/{action}", wanted, now=now).type == "/problems/loan-state"
    # What is lost is not lent again.
    assert refusal(bench.agent.post, f"/v1/repairs/{free['repair_id']}/loan", body, now=now).status == 422
    assert [row["state"] for row in bench.agent.pages("/v1/loans", state="lost,returned")] == ["lost"]


def test_two_at_once_give_one_success(bench, api, at_once, now):
    repair = bench.repair()
    path = f"/v1/repairs/{repair['repair_id']}/cancel"
    answers = at_once(lambda client, _: client.post(path, {"reason": "sold"}, now=now), range(4))
    assert sum(isinstance(answer, dict) for answer in answers) == 1
    assert {answer.type for answer in answers if not isinstance(answer, dict)} == {"/problems/repair-state"}
    moves = bench.rows("SELECT thing FROM service.change WHERE to_state = 'cancelled' ORDER BY thing")
    assert [move["thing"] for move in moves] == ["repair", "ticket"], "once each"


def test_a_partner_repairs_its_own_case_and_sees_no_other(bench, api, refusal, now):
    ours, theirs = (bench.lead.post("/v1/providers", {"code": code, "name": code})["provider_id"] for code in "AB")
    repair = bench.repair("K5-NEW")
    bench.agent.post(f"/v1/tickets/{repair['ticket_id']}/assign", {"provider_id": ours}, now=now)
    path = f"/v1/repairs/{repair['repair_id']}"
    with (
        api.scoped_client("technician", provider_id=ours) as technician,
        api.scoped_client("partner_manager", provider_id=theirs) as stranger,
    ):
        bench.agent = technician
        for action in ("receive", "diagnose", "parts", "start", "finish"):
            repair = bench.act(repair, action)
        # In the workshop there is no appointment to call off: nobody is to drive.
        with api.client("dispatcher") as dispatcher:
            recall = f"/v1/jobs/{repair['job_id']}/recall"
            refused = refusal(dispatcher.post, recall, {"reason": "rain"}, now=now)
        assert refused.type == "/problems/job-in-workshop"
        repair = bench.act(bench.act(bench.test(repair, passed=True), "ship"), "deliver")
        assert technician.get(f"{path}/costs")["sums"][0] == {"kind": "", "currency": "EUR", "amount_minor": 13_200}
        for wanted in (path, f"{path}/costs", f"/v1/tickets/{repair['ticket_id']}/balance"):
            assert refusal(stranger.get, wanted).status == 404
        assert refusal(stranger.post, f"{path}/close", {}).status == 404
        assert list(stranger.pages("/v1/repairs")) == []
        assert [row["state"] for row in technician.pages("/v1/repairs")] == ["delivered"]
