-- Files, service levels, escalations, and what is said with the customer.

-- Files ---------------------------------------------------------------------------------------------

-- The bytes, in the database so that they come and go with what they prove; once per owner.
CREATE TABLE service.file_content (
    -- Whoever brought it: 'key:12', 'user:3'.
    owner    text NOT NULL,
    sha256   bytea NOT NULL CHECK (length(sha256) = 32),
    content  bytea NOT NULL,
    PRIMARY KEY (owner, sha256)
);
-- Photos, videos and office documents are compressed already.
ALTER TABLE service.file_content ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE service.file (
    file_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner        text NOT NULL,
    sha256       bytea NOT NULL,
    name         text NOT NULL,
    -- By its bytes, not by what its sender said.
    media_type   text NOT NULL,
    size_bytes   integer NOT NULL CHECK (size_bytes > 0),
    ticket_id    bigint REFERENCES service.ticket,
    asset_id     integer REFERENCES service.asset,
    -- Of whoever brought it, if that was a customer or a partner.
    customer_id  bigint REFERENCES service.customer,
    provider_id  bigint REFERENCES service.provider,
    -- Who sees it besides staff: the customer and partners, partners, nobody.
    audience     text NOT NULL DEFAULT 'all' CHECK (audience IN ('all', 'partner', 'staff')),
    uploaded_by  text NOT NULL,
    at           timestamptz NOT NULL,
    -- Null: nothing has taken it yet; it goes after a day.
    attached_at  timestamptz,
    FOREIGN KEY (owner, sha256) REFERENCES service.file_content
);
CREATE INDEX file_content_used ON service.file (owner, sha256);
CREATE INDEX file_ticket_id ON service.file (ticket_id, file_id);
CREATE INDEX file_asset_id ON service.file (asset_id, file_id);
CREATE INDEX file_customer_id ON service.file (customer_id);
CREATE INDEX file_provider_id ON service.file (provider_id);
CREATE INDEX file_orphan ON service.file (at) WHERE attached_at IS NULL;
-- Papers of machines go with their file; that a machine changed hands stays.
ALTER TABLE service.document ADD FOREIGN KEY (file_id) REFERENCES service.file ON DELETE CASCADE;
ALTER TABLE service.asset_owner ADD FOREIGN KEY (proof_file_id) REFERENCES service.file ON DELETE SET NULL;

-- One's own; what belongs to a case that one sees; what belongs to the machine itself, not to a case of an owner before.
CALL service.guard('service.file', 'customer_id = (SELECT service.scope_customer_id()) '
    'OR provider_id = (SELECT service.scope_provider_id()) '
    'OR ((audience = ''all'' OR (audience = ''partner'' AND (SELECT service.scope_provider_id()) IS NOT NULL)) '
    'AND (EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = file.ticket_id) '
    'OR (file.ticket_id IS NULL AND EXISTS (SELECT FROM service.asset a WHERE a.asset_id = file.asset_id)) '
    'OR EXISTS (SELECT FROM service.document d WHERE d.file_id = file.file_id AND d.model_id IS NOT NULL)))',
    'file_id', personal => ARRAY['name', 'uploaded_by']);
CALL service.guard('service.file_content', 'EXISTS (SELECT FROM service.file f '
    'WHERE f.owner = file_content.owner AND f.sha256 = file_content.sha256)', 'owner,sha256',
    hidden => ARRAY['content']);
