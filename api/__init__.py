"""The service desk: one REST API, the only writer of business data.

One folder per business capability, each with at most `routes.py, service.py, rules.py, repository.py, models.py,
queries.sql`. `rules.py` is pure. A higher capability may use a lower one: reports, outcomes, dispatch, plans, tickets,
warranty, parts, alerts, assets, access; all stand on `conventions`.
"""
