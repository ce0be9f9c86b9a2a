-- No data, no score: who bought nothing in the year before the last one has no row.
WITH measured AS (
    SELECT
        customers.customer_id,
        1 - customers.revenue_l12_amount::DOUBLE / nullif(customers.revenue_p12_amount, 0)::DOUBLE AS fall,
        1 - satisfaction.value_effective / 100 AS discontent
    FROM customers
    JOIN satisfaction USING (customer_id)
)
SELECT
    customer_id,
    round(60 * greatest(0, least(1, fall)) + 40 * discontent, 1) AS churn_score,
    :as_of AS as_of
FROM measured
WHERE fall IS NOT NULL AND discontent IS NOT NULL
