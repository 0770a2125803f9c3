-- name: contents
SELECT k.part_id, p.sku, k.quantity
FROM service.kit_part k
JOIN service.part p USING (part_id)
WHERE k.kit_id = %(part_id)s
ORDER BY p.sku

-- name: find_ticket
SELECT ticket_id FROM service.ticket WHERE ticket_id = %(ticket_id)s
