"""Rules on the device: what is worth sending, what is worth an event, and what is worked out on the spot.

Each kind of rule has a file of its own: what its table in the configuration says (a `Rule`) and what it remembers of
one metric of one asset (a `State` of a few numbers, whatever comes). Nothing here reads a clock or a file.

The order for one value is fixed, whatever order the tables stand in:

1. Something that is no finite number goes on untouched, to be refused and counted where messages are formed.
2. `running`: running hours and cycles are counted from the value as it was measured.
3. `threshold`: so are alarms.
4. `window`: every window takes the value; unless `keep_raw` says so, it ends here and min, max and mean go on.
5. `dead_band`, `rate_of_change` or `swinging_door`, at most one: what adds little is left out.

What rules make (`pressure.mean`, `running_hours`) is not judged again. A metric for which an asset has rules of its own
(with `serial`) does not follow those for every asset.

What must survive a restart is handed out by `RuleMemory.to_store` and stored in the transaction of the readings that it
came from, so that a kill at any instant neither repeats nor skips anything.
"""

from edge_agent.rules.book import AnyRule, MetricRules, RuleBook, derived_units, rule_book
from edge_agent.rules.judging import Judged, judge
from edge_agent.rules.memory import RuleMemory

__all__ = ["AnyRule", "Judged", "MetricRules", "RuleBook", "RuleMemory", "derived_units", "judge", "rule_book"]
