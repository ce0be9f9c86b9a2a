"""The same result tables by DuckDB SQL as one would write it by hand: each source table is read and summed up once.

It is given what a build learns (fitted chances, priors, the median revenue), and leaves out what explains a score.
"""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

SOURCES = (
    *("accounts", "owners", "deals", "orders", "invoices", "payments", "tickets", "activities", "ratings"),
    "crosswalk",
)
RESULTS = ("customers", "retention", "satisfaction", "key_account_criteria", "key_accounts", "customer_360")

FACTS = """
-- as the build rounds, on every engine (engine/storage/backend/rounding.py)
CREATE MACRO half_up(number, digits) AS round(number::DOUBLE * 10.0 ** digits) / 10.0 ** digits;

CREATE TEMP TABLE x AS SELECT connection, account_id, customer_id, is_oversized FROM crosswalk;

CREATE TEMP TABLE staff AS
WITH single AS (
    SELECT connection || '/' || owner_id AS held_by, name, role, is_active, nullif(lower(email), '') AS email,
        CASE WHEN role IN ('account_manager', 'account_executive') THEN role END AS special
    FROM owners QUALIFY row_number() OVER (PARTITION BY connection, owner_id ORDER BY stream) = 1),
shared AS (
    SELECT email, arg_min(name, held_by) AS name, arg_min(special, held_by) AS special
    FROM single WHERE email IS NOT NULL GROUP BY email)
SELECT held_by, is_active, coalesce(s.name, o.name) AS person, coalesce(s.special, o.special, s.role) AS role
FROM single s LEFT JOIN shared o USING (email) WHERE coalesce(s.name, o.name) IS NOT NULL;

CREATE TEMP TABLE deal AS
SELECT customer_id, d.connection, deal_id, owner_id, reporting_amount, lead_source,
    CASE WHEN is_later THEN 'open' ELSE status END AS status,
    CASE WHEN is_later THEN NULL ELSE coalesce(probability, 0) END AS probability,
    CASE WHEN is_later THEN NULL ELSE close_on END AS close_on
FROM (SELECT *, status <> 'open' AND close_on > DATE '{as_of}' AS is_later FROM deals
    WHERE coalesce(created_at < TIMESTAMPTZ '{tomorrow}', true)) d JOIN x USING (connection, account_id);

CREATE TEMP TABLE by_deals AS
SELECT customer_id, count(*) FILTER (status = 'open') AS deals_open,
    sum(reporting_amount) FILTER (status = 'open') AS pipeline_amount,
    round_even(sum(reporting_amount * coalesce(probability, 0)::DECIMAL(19, 6)) FILTER (status = 'open'), 2)
        AS weighted_pipeline_amount,
    count(*) FILTER (status = 'won' AND coalesce(close_on <= DATE '{as_of}', true)) AS deals_won,
    count(*) FILTER (status = 'lost' AND coalesce(close_on <= DATE '{as_of}', true)) AS deals_lost,
    sum(reporting_amount::DOUBLE * coalesce(probability, 0))
        FILTER (status = 'open' AND coalesce(close_on <= DATE '{as_of}' + 365, true)) AS weighted,
    count(*) FILTER (status = 'won' AND DATE '{as_of}' - close_on < 730 AND contains(lower(lead_source), 'referral'))
        AS referrals
FROM deal GROUP BY customer_id;

CREATE TEMP TABLE held AS
SELECT customer_id, h.*, person, role, is_active,
    coalesce(role = 'account_manager', false) AS manages, coalesce(role = 'account_executive', false) AS sells,
    CASE connection WHEN 'crm' THEN 0 WHEN 'erp' THEN 1 ELSE 3 END AS place
FROM (
    SELECT customer_id, connection, 'account' AS what, NULL::DATE AS day, account_id AS key,
        connection || '/' || owner_id AS held_by
    FROM accounts JOIN x USING (connection, account_id)
    WHERE coalesce(created_at < TIMESTAMPTZ '{tomorrow}', true)
    UNION ALL
    SELECT customer_id, connection, status, close_on, deal_id, connection || '/' || owner_id FROM deal
) h JOIN staff USING (held_by);

CREATE TEMP TABLE people AS
WITH ranked AS (
    SELECT *, CASE WHEN manages AND what = 'account' THEN 0 WHEN manages THEN 1
            WHEN what = 'account' AND role IS NULL AND place < 3 THEN 2 END AS as_manager,
        CASE WHEN what = 'won' AND NOT manages THEN 0 WHEN sells AND what = 'account' THEN 1
            WHEN sells AND what = 'open' THEN 2 END AS as_executive
    FROM held),
manager AS (
    SELECT customer_id, person FROM ranked WHERE as_manager IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY customer_id
        ORDER BY is_active DESC, as_manager, place, day NULLS LAST, connection, key, person) = 1),
executive AS (
    SELECT customer_id, person FROM ranked WHERE as_executive IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY customer_id
        ORDER BY is_active DESC, as_executive, place, day NULLS LAST, connection, key, person) = 1)
SELECT customer_id, m.person AS account_manager, e.person AS account_executive
FROM manager m FULL JOIN executive e USING (customer_id);

CREATE TEMP TABLE invoice AS
WITH later AS (
    SELECT connection, invoice_id, currency, sum(amount) AS later FROM payments
    WHERE paid_on > DATE '{as_of}' AND status = 'posted' AND invoice_id IS NOT NULL GROUP BY ALL),
settled AS (
    SELECT connection, invoice_id, max(paid_on) AS settled_on FROM payments
    WHERE paid_on <= DATE '{as_of}' AND status = 'posted' AND invoice_id IS NOT NULL GROUP BY ALL),
reopened AS (
    SELECT i.*, later IS NOT NULL OR coalesce(paid_on > DATE '{as_of}', false) AS is_open_again,
        CASE WHEN later IS NULL THEN coalesce(total_amount, net_amount)
            ELSE least(coalesce(open_amount, 0) + later, coalesce(total_amount, net_amount)) END AS again
    FROM invoices i LEFT JOIN later USING (connection, invoice_id, currency)
    WHERE invoice_on <= DATE '{as_of}' AND status = 'posted')
SELECT customer_id, kind, invoice_on, due_on, ship_to_country, net_amount, reporting_net_amount, reporting_cost_amount,
    CASE WHEN is_open_again THEN again ELSE open_amount END AS open_amount,
    CASE WHEN is_open_again THEN round_even(again * rate, 2)::DECIMAL(18, 2) ELSE reporting_open_amount END
        AS reporting_open_amount,
    coalesce(CASE WHEN is_open_again THEN NULL ELSE paid_on END, settled_on) AS paid_on,
    DATE '{as_of}' - invoice_on AS ago
FROM reopened JOIN x USING (connection, account_id) LEFT JOIN settled USING (connection, invoice_id);

CREATE TEMP TABLE by_invoices AS
SELECT customer_id, sum(reporting_net_amount) FILTER (ago < 365) AS revenue_l12_amount,
    sum(reporting_net_amount) FILTER (ago BETWEEN 365 AND 729) AS revenue_p12_amount,
    sum(reporting_net_amount) AS revenue_amount, sum(reporting_open_amount) AS open_amount,
    sum(reporting_open_amount) FILTER (due_on < DATE '{as_of}') AS overdue_amount,
    min(invoice_on) FILTER (kind = 'invoice') AS first_invoice_on,
    max(invoice_on) FILTER (kind = 'invoice') AS last_invoice_on, max(ago) AS days_known,
    sum(reporting_net_amount::DOUBLE) FILTER (ago < 365 AND reporting_cost_amount IS NOT NULL) AS costed,
    sum(reporting_cost_amount::DOUBLE) FILTER (ago < 365) AS cost,
    count(DISTINCT ship_to_country) FILTER (ago < 730) AS countries, bool_or(ago < 730) AS is_recent,
    sum(late * reporting_net_amount::DOUBLE) FILTER (late IS NOT NULL AND reporting_net_amount > 0)
        / sum(reporting_net_amount::DOUBLE) FILTER (late IS NOT NULL AND reporting_net_amount > 0) AS days_late
FROM (SELECT *, CASE WHEN kind = 'invoice' AND due_on <= DATE '{as_of}' AND DATE '{as_of}' - due_on < 365 THEN
        greatest(CASE WHEN coalesce(open_amount, net_amount) > 0 THEN DATE '{as_of}' ELSE paid_on END - due_on, 0)
    END AS late FROM invoice) GROUP BY customer_id;

CREATE TEMP TABLE by_months AS
SELECT customer_id, sum(net) / 12 AS mean, sum(net * net) / 12 AS squares
FROM (SELECT customer_id, sum(reporting_net_amount::DOUBLE) AS net FROM invoice WHERE ago < 365
    GROUP BY customer_id, floor(ago * 12 / 365)) GROUP BY customer_id;

CREATE TEMP TABLE event AS
SELECT customer_id, ordered_on AS day, sum(reporting_amount) AS amount
FROM orders JOIN x USING (connection, account_id)
WHERE status = 'confirmed' AND reporting_amount > 0 AND ordered_on <= DATE '{as_of}' GROUP BY ALL;

CREATE TEMP TABLE by_orders AS
SELECT customer_id, min(ordered_on) AS first_confirmed_on, max(ordered_on) AS last_confirmed_on
FROM orders JOIN x USING (connection, account_id)
WHERE status = 'confirmed' AND ordered_on <= DATE '{as_of}' GROUP BY customer_id;

CREATE TEMP TABLE by_ratings AS
WITH scored AS (
    SELECT customer_id, kind, exp(-0.6931471805599453 / 180 * age) AS w,
        half_up((score - score_min) / nullif(score_max - score_min, 0), 9) AS share
    FROM (SELECT r.*, coalesce(r.account_id, t.account_id) AS account, ({end} - epoch(rated_at)::BIGINT) / 86400.0 AS age
        FROM ratings r LEFT JOIN tickets t USING (connection, ticket_id) WHERE rated_at < TIMESTAMPTZ '{tomorrow}') r
    JOIN x ON x.connection = r.connection AND x.account_id = r.account
    WHERE age <= 730),
outcome AS (
    SELECT *, CASE kind WHEN 'csat' THEN (share >= 0.75)::INT::DOUBLE
        WHEN 'nps' THEN CASE WHEN share >= 0.9 THEN 1 WHEN share >= 0.7 THEN 0 ELSE -1 END ELSE share END AS y
    FROM scored WHERE share BETWEEN 0 AND 1)
SELECT customer_id, {answers} FROM outcome GROUP BY customer_id;

CREATE TEMP TABLE by_tickets AS
WITH rated AS (
    SELECT DISTINCT connection, ticket_id, true AS is_rated FROM ratings
    WHERE rated_at < TIMESTAMPTZ '{tomorrow}' AND kind = 'csat' AND ticket_id IS NOT NULL),
asked AS (
    SELECT customer_id, coalesce(is_rated, false) AS is_rated, created_at, priority,
        CASE WHEN is_later THEN 'open' ELSE status END AS status, CASE WHEN NOT is_later THEN solved_at END AS solved_at,
        CASE WHEN NOT is_later THEN resolution_minutes END AS resolution_minutes,
        CASE WHEN NOT is_later THEN reopens END AS reopens, CASE WHEN NOT is_later THEN agent_minutes END AS agent_minutes,
        CASE WHEN created_at + to_seconds(first_reply_minutes * 60) < TIMESTAMPTZ '{tomorrow}' THEN first_reply_minutes END
            AS first_reply_minutes
    FROM (SELECT *, coalesce(solved_at >= TIMESTAMPTZ '{tomorrow}', false) AS is_later FROM tickets
        WHERE created_at < TIMESTAMPTZ '{tomorrow}')
    JOIN x USING (connection, account_id) LEFT JOIN rated USING (connection, ticket_id)),
aged AS (
    SELECT *, ({end} - epoch(created_at)::BIGINT) / 86400.0 AS age, ({end} - epoch(solved_at)::BIGINT) / 86400.0 AS since,
        CASE priority WHEN 'urgent' THEN 60 WHEN 'high' THEN 240 WHEN 'low' THEN 1440 ELSE 480 END AS reply_target,
        CASE priority WHEN 'urgent' THEN 480 WHEN 'high' THEN 1440 WHEN 'low' THEN 10080 ELSE 4320 END AS target,
        CASE priority WHEN 'urgent' THEN 4 WHEN 'high' THEN 3 WHEN 'low' THEN 1 ELSE 2 END AS urgency
    FROM asked),
told AS (
    SELECT *, exp(-0.6931471805599453 / 180 * age) AS w, exp(-0.6931471805599453 / 180 * since) AS w_solved,
        CASE WHEN first_reply_minutes <= age * 1440 AND age <= 730 THEN (first_reply_minutes <= reply_target)::INT END
            AS sla_first,
        CASE WHEN since BETWEEN 0 AND 730 THEN (resolution_minutes <= target)::INT END AS sla_resolution,
        CASE WHEN since BETWEEN 0 AND 730 THEN (reopens > 0)::INT END AS reopen,
        CASE WHEN status IN ('solved', 'closed') THEN 0
            ELSE urgency * least(greatest((age * 1440 - target) / target, 0), 3) / 3 END AS late
    FROM aged)
SELECT customer_id, count(*) FILTER (status NOT IN ('solved', 'closed')) AS tickets_open,
    sum(w) FILTER (sla_first IS NOT NULL) AS w_sla_first, sum(w * sla_first) AS wy_sla_first,
    sum(w_solved) FILTER (sla_resolution IS NOT NULL) AS w_sla_resolution,
    sum(w_solved * sla_resolution) AS wy_sla_resolution,
    sum(w_solved) FILTER (reopen IS NOT NULL) AS w_reopen, sum(w_solved * reopen) AS wy_reopen,
    100 * exp(-sum(late) FILTER (age <= 730)) AS backlog, count(*) FILTER (age <= 730) AS tickets,
    count(*) FILTER (since BETWEEN 0 AND 730) AS solved, count(*) FILTER (is_rated AND since BETWEEN 0 AND 730) AS rated,
    sum(coalesce(agent_minutes / 60 * 45, 25))
        FILTER (DATE '{as_of}' - created_at::DATE < 365) AS support
FROM told GROUP BY customer_id;

CREATE TEMP TABLE contact AS
SELECT customer_id, connection, contact_id, contact_title, happened_at, coalesce(status, 'done') = 'done' AS is_done,
    direction IN ('inbound', 'both') AS comes, direction IN ('outbound', 'both') AS goes,
    DATE '{as_of}' - happened_at::DATE AS ago
FROM activities JOIN x USING (connection, account_id) WHERE happened_at < TIMESTAMPTZ '{tomorrow}';

CREATE TEMP TABLE by_activities AS
WITH persons AS (
    SELECT customer_id, bool_or(comes) AS comes, bool_or(goes) AS goes, coalesce(lower(max(contact_title)), '') AS title
    FROM contact WHERE is_done AND ago < 180 AND contact_id IS NOT NULL GROUP BY customer_id, connection, contact_id),
known AS (
    SELECT customer_id, sum(CASE WHEN regexp_matches(title, '\\bc[efiot]o\\b|chief|owner') THEN 3.0
        WHEN regexp_matches(title, '\\bvp\\b|vice president|director|head of') THEN 2.0 ELSE 1.0 END) AS people
    FROM persons WHERE comes AND goes GROUP BY customer_id),
months AS (
    SELECT customer_id, bool_or(comes) AS comes, bool_or(goes) AS goes FROM contact WHERE is_done AND ago < 365
    GROUP BY customer_id, date_trunc('month', happened_at)),
talking AS (SELECT customer_id, count(*) FILTER (comes AND goes) AS months_both FROM months GROUP BY customer_id),
last AS (SELECT customer_id, max(happened_at) FILTER (is_done) AS last_contact_at FROM contact GROUP BY customer_id)
SELECT customer_id, last_contact_at, CASE WHEN months_both IS NOT NULL THEN people END AS people,
    CASE WHEN months_both IS NOT NULL THEN least(months_both, 12) END AS months_both
FROM last LEFT JOIN talking USING (customer_id) LEFT JOIN known USING (customer_id);
"""

CUSTOMERS = """
CREATE TEMP TABLE customers AS
WITH member AS (
    SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY is_active DESC,
            CASE connection WHEN 'crm' THEN 0 WHEN 'erp' THEN 1 ELSE 2 END,
            coalesce(updated_at, created_at) DESC NULLS LAST, connection, account_id) AS by_crm,
        row_number() OVER (PARTITION BY customer_id ORDER BY is_active DESC,
            CASE connection WHEN 'erp' THEN 0 WHEN 'crm' THEN 1 ELSE 2 END,
            coalesce(updated_at, created_at) DESC NULLS LAST, connection, account_id) AS by_erp
    FROM accounts JOIN x USING (connection, account_id) WHERE coalesce(created_at < TIMESTAMPTZ '{tomorrow}', true)),
record AS (
    SELECT customer_id, {fields}, count(*) AS accounts_count, bool_or(is_oversized) AS is_oversized,
        list_sort(list_distinct(list(connection))) AS connections
    FROM member GROUP BY customer_id),
joined AS (
    SELECT record.*, people.* EXCLUDE customer_id, by_deals.* EXCLUDE (customer_id, weighted, referrals),
        by_invoices.* EXCLUDE (customer_id, days_known, costed, cost, countries, is_recent, days_late),
        least(first_confirmed_on, first_invoice_on) AS first_order_on,
        greatest(last_confirmed_on, last_invoice_on) AS last_order_on, tickets_open, last_contact_at
    FROM record LEFT JOIN people USING (customer_id) LEFT JOIN by_deals USING (customer_id)
        LEFT JOIN by_invoices USING (customer_id) LEFT JOIN by_orders USING (customer_id)
        LEFT JOIN by_tickets USING (customer_id) LEFT JOIN by_activities USING (customer_id))
SELECT * EXCLUDE (first_invoice_on, deals_open) REPLACE (array_to_string(connections, ', ') AS connections,
        coalesce(revenue_l12_amount, 0) AS revenue_l12_amount, coalesce(revenue_p12_amount, 0) AS revenue_p12_amount,
        coalesce(revenue_amount, 0) AS revenue_amount, coalesce(open_amount, 0) AS open_amount,
        coalesce(overdue_amount, 0) AS overdue_amount, coalesce(pipeline_amount, 0) AS pipeline_amount,
        coalesce(weighted_pipeline_amount, 0) AS weighted_pipeline_amount, coalesce(deals_won, 0) AS deals_won,
        coalesce(deals_lost, 0) AS deals_lost, coalesce(tickets_open, 0) AS tickets_open),
    'EUR' AS currency,
    CASE WHEN last_order_on > DATE '{as_of}' - 365 OR deals_open > 0 THEN 'active'
        WHEN last_order_on IS NOT NULL THEN 'churned' ELSE 'prospect' END AS status,
    CASE WHEN overdue_amount > 0 THEN 'overdue' WHEN open_amount > 0 THEN 'open'
        WHEN last_invoice_on IS NOT NULL THEN 'paid' END AS payment_state
FROM joined;
"""

STATISTICS = """
CREATE TEMP TABLE statistic AS
WITH ever AS (
    SELECT customer_id, min(day) AS first_on, max(day) AS last_on, count(*) AS days FROM event GROUP BY customer_id),
recent AS (SELECT *, year(day) * 12 + month(day) AS month FROM event WHERE day >= DATE '{window_start}'),
born AS (SELECT customer_id, min(month) AS born FROM recent GROUP BY customer_id),
monthly AS (
    SELECT customer_id, born, count(DISTINCT month) FILTER (month > born AND month < {now}) AS x,
        coalesce(max(month) FILTER (month > born AND month < {now}) - born, 0) AS tx,
        greatest({now} - 1 - born, 0) AS n, (max(month) = {now} AND born < {now})::BIGINT AS has_now,
        (born = {now})::BIGINT AS is_born_now, sum(amount)::DOUBLE / count(DISTINCT month) AS spend_per_month
    FROM recent JOIN born USING (customer_id) GROUP BY customer_id, born)
SELECT e.customer_id, DATE '{as_of}' - last_on AS days_since_order,
    half_up((last_on - first_on) / nullif(days - 1, 0)::DOUBLE, 1) AS usual_gap_days, m.* EXCLUDE (customer_id, born)
FROM ever e LEFT JOIN monthly m USING (customer_id);
"""
CELLS = "SELECT DISTINCT x, tx, n, has_now, is_born_now FROM statistic WHERE x IS NOT NULL ORDER BY ALL"

RETENTION = """
CREATE TEMP TABLE retention AS
WITH told AS (
    SELECT customers.customer_id, status, s.* EXCLUDE customer_id, p, p_recent, orders_if_alive, p_alive, p_order_if_alive,
        half_up(p * 100, 2) AS value
    FROM customers LEFT JOIN statistic s USING (customer_id)
        LEFT JOIN chances USING (x, tx, n, has_now, is_born_now))
SELECT customer_id, value, value AS value_effective,
    CASE WHEN status = 'churned' AND coalesce(days_since_order > 730, true) THEN 'churned' WHEN value IS NULL THEN 'unknown'
        WHEN value >= 75 THEN 'healthy' WHEN value >= 50 THEN 'watch' WHEN value >= 25 THEN 'at_risk' ELSE 'critical' END
        AS band,
    half_up(p_alive, 6) AS p_alive, half_up(p_order_if_alive, 6) AS p_order_if_alive, {horizon} AS horizon_months,
    x AS months_with_orders, tx AS last_order_month, n AS months_observed, -half_up((p - p_recent) * 100, 2) AS silence_loss,
    days_since_order, usual_gap_days, half_up((1 - p) * orders_if_alive * spend_per_month, 2)::DECIMAL(18, 2)
        AS revenue_at_risk_amount,
    CASE WHEN value IS NULL THEN 'NO_DATA' WHEN p_recent - p >= 0.15 THEN 'SILENT' WHEN p_order_if_alive < 0.5 THEN 'RARE'
        WHEN n < 3 THEN 'NEW' ELSE 'OK' END AS reason
FROM told;
"""

SATISFACTION = """
CREATE TEMP TABLE satisfaction AS
WITH known AS (
    SELECT customer_id, {values}, coalesce(backlog, {backlog}) AS backlog, {sure}
        + {backlog_weight} * (backlog IS NOT NULL)::INT AS confidence, w_csat, wy_csat, coalesce(tickets, 0) AS tickets,
        coalesce(n_csat, 0) + coalesce(n_nps, 0) + coalesce(n_ces, 0) AS ratings, rated::DOUBLE AS rated,
        solved::DOUBLE AS solved
    FROM customers LEFT JOIN by_ratings USING (customer_id) LEFT JOIN by_tickets USING (customer_id)),
valued AS (SELECT * REPLACE (half_up(confidence, 4) AS confidence), half_up({score}, 2) AS value FROM known)
SELECT customer_id, value, value AS value_effective, confidence,
    CASE WHEN confidence >= 0.6 THEN 'high' WHEN confidence >= 0.3 THEN 'medium' WHEN confidence >= 0.1 THEN 'low'
        ELSE 'insufficient' END AS confidence_band,
    CASE WHEN confidence < 0.1 THEN 'unknown' WHEN value >= 85 THEN 'A' WHEN value >= 75 THEN 'B' WHEN value >= 65 THEN 'C'
        WHEN value >= 50 THEN 'D' ELSE 'F' END AS band,
    {rounded}, wilson_low(wy_csat, w_csat) AS csat_low, wilson_high(wy_csat, w_csat) AS csat_high,
    half_up(rated / nullif(solved, 0), 4) AS response_rate, wilson_low(rated, solved) AS response_low,
    wilson_high(rated, solved) AS response_high, ratings, tickets
FROM valued;
"""
WILSON = """
CREATE MACRO wilson(good, n, side) AS half_up((least(good / n, 1) + 3.841459 / (2 * n) + side * 1.959964 * sqrt(
    least(good / n, 1) * (1 - least(good / n, 1)) / n + 3.841459 / (4 * n * n))) / (1 + 3.841459 / n), 4);
CREATE MACRO wilson_low(good, seen) AS greatest(wilson(good, nullif(seen, 0), -1), 0);
CREATE MACRO wilson_high(good, seen) AS least(wilson(good, nullif(seen, 0), 1), 1);
"""

CRITERIA = """
CREATE TEMP TABLE measured AS
WITH covers AS (
    SELECT customer_id, bool_or(connection IN (SELECT DISTINCT connection FROM deals)) AS has_crm,
        bool_or(connection IN (SELECT DISTINCT connection FROM tickets)) AS has_desk,
        bool_or(connection IN (SELECT DISTINCT connection FROM activities)) AS has_contacts FROM x GROUP BY customer_id),
joined AS (
    SELECT c.customer_id, employees, i.* EXCLUDE (customer_id, revenue_l12_amount, revenue_p12_amount),
        coalesce(i.revenue_l12_amount::DOUBLE, CASE WHEN i.customer_id IS NOT NULL THEN 0 END) AS r12,
        coalesce(i.revenue_p12_amount::DOUBLE, CASE WHEN i.customer_id IS NOT NULL THEN 0 END) AS p12, mean,
        sqrt(greatest(squares - mean * mean, 0)) AS sd, weighted, referrals, support, people, months_both, has_crm, has_desk,
        has_contacts, s.confidence, s.value AS satisfied, s.nps
    FROM customers c LEFT JOIN by_invoices i USING (customer_id) LEFT JOIN by_months USING (customer_id)
        LEFT JOIN by_deals USING (customer_id) LEFT JOIN by_tickets USING (customer_id)
        LEFT JOIN by_activities USING (customer_id) LEFT JOIN covers USING (customer_id)
        LEFT JOIN satisfaction s USING (customer_id))
SELECT customer_id, r12 AS revenue_level,
    CASE WHEN days_known >= 365 AND (r12 > 0 OR p12 > 0) THEN (r12 - p12) / nullif((r12 + p12) / 2, 0) END AS revenue_growth,
    CASE WHEN has_crm THEN coalesce(weighted, 0) / greatest(coalesce(r12, 0), {median}, 1) END AS pipeline_potential,
    CASE WHEN days_known >= 183 AND mean > 0 THEN 1 / (1 + sd / mean) END AS demand_stability,
    CASE WHEN has_desk AND r12 > 0 THEN coalesce(support, 0) / r12 END AS cost_to_serve,
    CASE WHEN is_recent THEN countries END AS market_reach, CASE WHEN confidence >= 0.1 THEN satisfied END AS product_fit,
    NULL AS innovation_adoption, CASE WHEN nps IS NOT NULL OR coalesce(referrals, 0) > 0
        THEN coalesce(nps, 50) + 10 * least(coalesce(referrals, 0), 3) END AS advocacy,
    employees AS reputation, CASE WHEN has_contacts THEN coalesce(people, 0) END AS decision_access,
    CASE WHEN costed > 0 AND costed >= r12 * 0.5 THEN (costed - cost) / costed END AS contribution_margin,
    NULL AS product_breadth, CASE WHEN has_contacts THEN coalesce(months_both, 0) END AS relationship_depth,
    days_late AS payment_discipline
FROM joined;

CREATE TEMP TABLE key_account_criteria AS
WITH long AS ({criteria})
SELECT customer_id, criterion, "group", weight, half_up(measured, 9) AS measured, coalesce(score, 5.5) AS score,
    coalesce(score, 5.5) AS score_effective, half_up(weight * (coalesce(score, 5.5) - 5.5) / {total}, 9) AS contribution
FROM long;

CREATE TEMP TABLE key_accounts AS
WITH total AS (
    SELECT customer_id, half_up(sum(weight * score) / sum(weight), 4) AS value,
        half_up(coalesce(sum(weight) FILTER (measured IS NOT NULL), 0) / sum(weight), 4) AS coverage, {groups}
    FROM key_account_criteria GROUP BY customer_id),
ranked AS (
    SELECT *, status = 'active' AND coverage >= 0.6 AND value >= 6 AS is_eligible,
        row_number() OVER (ORDER BY is_eligible DESC, value DESC, revenue_l12_amount DESC, coverage DESC, customer_id)
            AS place
    FROM total JOIN customers USING (customer_id)),
places AS (
    SELECT least(CASE WHEN count(DISTINCT account_manager) FILTER (status = 'active') > 0
            THEN 8 * count(DISTINCT account_manager) FILTER (status = 'active')
            ELSE greatest(ceil(0.05 * count(*) FILTER (status = 'active')), 1) END, 35) AS places,
        ceil(0.15 * count(*) FILTER (is_eligible)) AS second FROM ranked)
SELECT customer_id, value, value AS value_effective, growth, harmony, value_creation, coverage, is_eligible,
    CASE WHEN is_eligible THEN place END AS rank, CASE WHEN is_eligible AND place <= places THEN 'A'
        WHEN is_eligible AND place <= places + second THEN 'B' ELSE 'C' END AS band,
    band AS tier_computed, band AS tier,
    CASE WHEN (coalesce(growth, 5.5) + coalesce(value_creation, 5.5)) / 2 >= 5.5
        THEN CASE WHEN coalesce(harmony, 5.5) >= 5.5 THEN 'key' ELSE 'development' END
        WHEN coalesce(harmony, 5.5) >= 5.5 THEN 'maintenance' ELSE 'opportunistic' END AS quadrant
FROM ranked, places;

CREATE TEMP TABLE customer_360 AS
SELECT customer_id, name, country, account_manager, account_executive, c.status, connections, is_oversized, currency,
    revenue_l12_amount, open_amount, weighted_pipeline_amount, tickets_open, last_order_on, last_contact_at,
    CASE WHEN r.band <> 'churned' THEN r.value END AS retention_score, r.band AS retention_band,
    CASE WHEN r.band <> 'churned' THEN s.value END AS satisfaction_score,
    CASE WHEN r.band = 'churned' THEN 'churned' ELSE s.band END AS satisfaction_band,
    s.confidence AS satisfaction_confidence, CASE WHEN r.band <> 'churned' THEN k.value END AS key_account_score,
    k.tier AS key_account_tier, k.rank AS key_account_rank
FROM customers c JOIN retention r USING (customer_id) JOIN satisfaction s USING (customer_id)
    JOIN key_accounts k USING (customer_id);
"""


def answers() -> str:
    """Sum up the ratings of each kind."""
    return ", ".join(
        f"sum(w) FILTER (kind = '{kind}') AS w_{kind}, sum(w * y) FILTER (kind = '{kind}') AS wy_{kind}, "
        f"count(*) FILTER (kind = '{kind}') AS n_{kind}"
        for kind in ("csat", "nps", "ces")
    )


def fields() -> str:
    """Take each field from the account that comes first."""
    by_crm = ("domain", "email", "region", "industry", "employees")
    by_erp = ("name", "tax_id", "phone", "street", "postal_code", "city", "country")
    return ", ".join(
        f"arg_min({field}, {rank}) FILTER ({field} IS NOT NULL) AS {field}"
        for rank, some in (("by_crm", by_crm), ("by_erp", by_erp))
        for field in some
    )


def shrunk(pi: dict[str, float], m: dict[str, float], weights: dict[str, float], backlog: float) -> dict[str, str]:
    """Write the components of satisfaction, each between a customer's own data and the portfolio's."""
    means = {
        name: f"(coalesce(wy_{name}, 0) + {m[name] * pi[name]!r}) / (coalesce(w_{name}, 0) + {m[name]!r})"
        for name in pi
    }
    scaled = {name: f"100 * {mean}" for name, mean in means.items()}
    scaled |= {"nps": f"50 + 50 * {means['nps']}", "reopen": f"100 * (1 - {means['reopen']})"}
    shares = (f"{weights[name]!r} * coalesce(w_{name}, 0) / (coalesce(w_{name}, 0) + {m[name]!r})" for name in pi)
    return {
        "values": ", ".join(f"{value} AS {name}" for name, value in scaled.items()),
        "sure": " + ".join(shares),
        "score": " + ".join(f"{weight!r}::DOUBLE * {name}" for name, weight in weights.items()),
        "rounded": ", ".join(f"half_up({name}, 3) AS {name}" for name in weights),
        "backlog": repr(backlog),
        "backlog_weight": repr(weights["backlog"]),
    }


def criterion(name: str, group: str, weight: float, anchors: Sequence[float]) -> str:
    """Score one criterion: 1 to 10 at its anchors, linear between them."""
    points = sorted(zip(anchors, range(1, 11), strict=True))
    steps = "".join(
        f" WHEN v <= {right}::DOUBLE THEN {start} + (v - {left}) * {(end - start) / (right - left)!r}::DOUBLE"
        for (left, start), (right, end) in pairwise(points)
    )
    score = (
        f"CASE WHEN v <= {points[0][0]}::DOUBLE THEN {points[0][1]}{steps} WHEN v IS NOT NULL THEN {points[-1][1]} END"
    )
    return (
        f"SELECT customer_id, '{name}' AS criterion, '{group}' AS \"group\", {weight}::DOUBLE AS weight, v AS measured, "
        f"half_up({score}, 9) AS score FROM (SELECT customer_id, {name}::DOUBLE AS v FROM measured)"
    )


def means(groups: Sequence[str]) -> str:
    """Take the mean of each group of criteria."""
    return ", ".join(
        f"half_up(sum(weight * score) FILTER (\"group\" = '{group}') / sum(weight) FILTER (\"group\" = '{group}'), 4) AS {group}"
        for group in groups
    )


def month(day: date) -> int:
    """Number the month of a day."""
    return day.year * 12 + day.month
