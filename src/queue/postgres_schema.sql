-- What made each version of the PostgreSQL store of the one before it; run once,
-- under a lock, with the store's schema as the only one in search_path.  See
-- postgres_batch.sql for what is done with it.
--
-- Times are ms since 1970, of the server's clock.  A task's state is that of
-- guaco/task.h, or 10: set aside for a limit.

CREATE TABLE meta(version int4 NOT NULL, latest int8 NOT NULL DEFAULT 0);
CREATE SEQUENCE task_id;
CREATE SEQUENCE lane_id;
CREATE TABLE queue(
    name text COLLATE "C" PRIMARY KEY,
    generation text COLLATE "C" NOT NULL DEFAULT '',
    paused bool NOT NULL DEFAULT false);

-- record: a byte of length, the queue, two bytes of priority, the envelope.
CREATE TABLE task(
    id int8 PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    state int2 NOT NULL,
    priority int2 NOT NULL,
    suspect bool NOT NULL DEFAULT false,
    alone bool NOT NULL DEFAULT false,
    ruled bool NOT NULL DEFAULT false,
    attempt int8 NOT NULL DEFAULT 0,
    failures int8 NOT NULL DEFAULT 0,
    deaths int8 NOT NULL DEFAULT 0,
    due int8 NOT NULL DEFAULT 0,
    since int8 NOT NULL DEFAULT 0,
    owner int8,
    aside int8,
    client int8,
    seq int8,
    op int4,
    cancel bytea,
    reason bytea,
    record bytea NOT NULL)
    WITH (autovacuum_vacuum_scale_factor = 0.02,
          autovacuum_vacuum_threshold = 2000);
CREATE INDEX task_ready ON task(queue, suspect, priority DESC, id)
    WHERE state = 1;
CREATE INDEX task_delayed ON task(due, id) WHERE state = 2;
CREATE INDEX task_running ON task(owner) WHERE state = 3;
CREATE INDEX task_dead ON task(queue, since, id) WHERE state = 8;
CREATE INDEX task_held ON task(queue, due, id) WHERE state = 9;
CREATE INDEX task_aside ON task(aside, priority DESC, id) WHERE state = 10;

-- One that was taken stays until its taker's next batch.
CREATE TABLE result(
    id int8 PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    state int2 NOT NULL,
    attempt int8 NOT NULL,
    finished int8 NOT NULL,
    ends int8 NOT NULL,
    body bytea NOT NULL,
    reason bytea NOT NULL,
    taken_by int8);
CREATE INDEX result_ends ON result(ends);
CREATE INDEX result_taken ON result(taken_by) WHERE taken_by IS NOT NULL;
CREATE TABLE event(
    id int8 NOT NULL,
    number int8 NOT NULL,
    ends int8 NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY(id, number));
CREATE INDEX event_ends ON event(ends);

CREATE TABLE owner(
    id int8 PRIMARY KEY,
    who text NOT NULL,
    lease_end int8 NOT NULL);
CREATE TABLE recur(
    queue text COLLATE "C" NOT NULL,
    name bytea NOT NULL,
    spec bytea NOT NULL,
    zone bytea NOT NULL,
    catch_up int2 NOT NULL,
    generation text COLLATE "C" NOT NULL,
    priority int2 NOT NULL,
    last int8 NOT NULL,
    envelope bytea NOT NULL,
    paused bool NOT NULL,
    run_time bool NOT NULL,
    PRIMARY KEY(queue, name));
CREATE TABLE revoke(
    queue text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    ends int8 NOT NULL,
    once bool NOT NULL,
    PRIMARY KEY(queue, key));
CREATE TABLE kv(key bytea PRIMARY KEY, ends int8, value bytea NOT NULL);
CREATE INDEX kv_ends ON kv(ends) WHERE ends IS NOT NULL;
CREATE TABLE holder(
    name bytea NOT NULL,
    token int8 NOT NULL,
    owner int8 NOT NULL,
    ends int8 NOT NULL,
    topic text NOT NULL,
    PRIMARY KEY(name, token));
CREATE INDEX holder_owner ON holder(owner);

-- What binds a task to others.
CREATE TABLE bond(
    id int8 PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    priority int2 NOT NULL,
    key bytea,
    till int2 NOT NULL,
    lanes int8[] NOT NULL,
    costs int8[] NOT NULL,
    counted bool NOT NULL DEFAULT false,
    joins int8,
    member int8 NOT NULL,
    members int8 NOT NULL,
    missing int8 NOT NULL,
    must bool NOT NULL,
    due int8 NOT NULL);
CREATE TABLE lane(
    id int8 PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    name bytea NOT NULL,
    refs int8 NOT NULL,
    running int8 NOT NULL,
    most int8 NOT NULL,
    spacing int8 NOT NULL,
    burst int8 NOT NULL,
    full_us int8 NOT NULL,
    wake int8,
    UNIQUE(queue, name));
CREATE INDEX lane_wake ON lane(wake) WHERE wake IS NOT NULL;
CREATE TABLE member(
    held int8 NOT NULL,
    number int8 NOT NULL,
    id int8 NOT NULL,
    state int2 NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY(held, number));
CREATE TABLE uniq(
    queue text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    id int8 NOT NULL,
    ends int8,
    PRIMARY KEY(queue, key));
CREATE INDEX uniq_ends ON uniq(ends) WHERE ends IS NOT NULL;

-- Clients: number, answers and news of the last batch of each.
CREATE TABLE client(
    id int8 PRIMARY KEY,
    seq int8 NOT NULL,
    at int8 NOT NULL,
    took bool NOT NULL DEFAULT false,
    news text[],
    memo bytea[]) WITH (fillfactor = 50);
CREATE INDEX client_at ON client(id) WHERE took;

-- Who wants to be told; gone when the server crashes, as the clients'
-- connections are, which tell it again.
CREATE UNLOGGED TABLE idle(
    queue text COLLATE "C" NOT NULL,
    client int8 NOT NULL,
    PRIMARY KEY(queue, client));
CREATE UNLOGGED TABLE watch(
    topic text COLLATE "C" NOT NULL,
    client int8 NOT NULL,
    PRIMARY KEY(topic, client));
CREATE UNLOGGED TABLE keeper(client int8 PRIMARY KEY, due int8 NOT NULL);

INSERT INTO meta(version) VALUES(1);
