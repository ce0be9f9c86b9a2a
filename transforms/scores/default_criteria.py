"""The fifteen criteria for key accounts that stand when a user says nothing.

Names and grouping follow Warwick Brown's scoring matrix (growth, harmony, value creation); the last four of value
creation, and all formulas and anchors, are our own. A criterion reads the column of its name that `criteria_measures` computes.
"""

from transforms.scores.criteria import Criterion


def _criterion(name: str, group: str, weight: float, anchors: str, label: str) -> Criterion:
    return Criterion(name, group, weight, tuple(float(anchor) for anchor in anchors.split()), label)


DEFAULTS = (
    _criterion(
        "revenue_level",
        "growth",
        12,
        "1e3 2.5e3 5e3 1e4 2.5e4 5e4 1e5 2.5e5 5e5 1e6",
        "Net revenue in 12 months",
    ),
    _criterion(
        "revenue_growth",
        "growth",
        7,
        "-1 -.5 -.25 -.1 0 .05 .1 .25 .5 1",
        "Growth against the 12 months before",
    ),
    _criterion(
        "pipeline_potential",
        "growth",
        7,
        "0 .02 .05 .1 .15 .2 .3 .5 .75 1",
        "Weighted open deals against revenue",
    ),
    _criterion("demand_stability", "growth", 5, ".2 .3 .4 .45 .5 .55 .6 .7 .8 .9", "Evenness of monthly revenue"),
    _criterion(
        "cost_to_serve",
        "growth",
        5,
        ".30 .20 .15 .10 .075 .05 .03 .02 .01 0",
        "Cost of support against revenue",
    ),
    _criterion("market_reach", "growth", 4, "0 1 2 3 4 5 6 8 10 15", "Countries delivered to and subsidiaries"),
    _criterion("product_fit", "harmony", 9, "40 50 55 60 65 70 75 80 85 95", "Satisfaction"),
    _criterion(
        "innovation_adoption",
        "harmony",
        5,
        "0 .02 .05 .08 .12 .16 .22 .3 .4 .6",
        "Revenue from newly bought categories",
    ),
    _criterion("advocacy", "harmony", 5, "20 30 40 50 55 60 65 70 80 90", "Recommendations and referrals"),
    _criterion("reputation", "harmony", 4, "5 10 25 50 100 250 500 1e3 5e3 2e4", "Employees"),
    _criterion("decision_access", "harmony", 7, "0 1 2 3 4 5 6 8 10 12", "People in two-way contact, by rank"),
    _criterion("contribution_margin", "value_creation", 10, "0 .05 .1 .15 .2 .25 .3 .4 .5 .6", "Margin"),
    _criterion(
        "product_breadth",
        "value_creation",
        7,
        "0 .05 .1 .15 .2 .25 .3 .4 .5 .7",
        "Share of our categories bought",
    ),
    _criterion("relationship_depth", "value_creation", 6, "0 1 2 3 4 5 6 8 10 12", "Months with contact both ways"),
    _criterion("payment_discipline", "value_creation", 7, "90 60 45 30 20 15 10 5 2 0", "Days paid late, by amount"),
)
