-- What binds tasks to others, on the PostgreSQL store: unique keys, limits (a
-- key of a limit is a lane), tasks that wait for others.  The meaning is that
-- of memory_rules.c and memory_lane.c.  Whoever calls any of these holds the
-- lock of rules(), so that no two do at once.

-- ---- bytes and numbers ----

CREATE OR REPLACE FUNCTION num(b bytea) RETURNS int8 LANGUAGE sql STABLE AS
$$ SELECT convert_from(b, 'UTF8')::int8 $$;
CREATE OR REPLACE FUNCTION txt(b bytea) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT convert_from(b, 'UTF8') $$;

-- Replies: a number, bytes, a text, the head of a list.
CREATE OR REPLACE FUNCTION ri(n int8) RETURNS bytea LANGUAGE sql STABLE AS
$$ SELECT convert_to(':' || n || E'\r\n', 'UTF8') $$;
CREATE OR REPLACE FUNCTION rs(b bytea) RETURNS bytea LANGUAGE sql STABLE AS
$$ SELECT convert_to('$' || octet_length(b) || E'\r\n', 'UTF8') || b || '\x0d0a'::bytea $$;
CREATE OR REPLACE FUNCTION rt(t text) RETURNS bytea LANGUAGE sql STABLE AS
$$ SELECT convert_to('$' || octet_length(t) || E'\r\n' || t || E'\r\n', 'UTF8') $$;
CREATE OR REPLACE FUNCTION rl(n int8) RETURNS bytea LANGUAGE sql STABLE AS
$$ SELECT convert_to('*' || n || E'\r\n', 'UTF8') $$;

-- ---- what the batch touched: settings of the session, taken at its end ----

CREATE OR REPLACE FUNCTION touch(q text, n int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('guaco.ready', current_setting('guaco.ready') || q || ' ' || n || E'\n', false);
END $$;

CREATE OR REPLACE FUNCTION touch_due(ms int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE due text := current_setting('guaco.due');
BEGIN
    IF due = '' OR due::int8 > ms THEN
        PERFORM set_config('guaco.due', ms::text, false);
    END IF;
END $$;

-- Others are told, and with is_over that no more will come.
CREATE OR REPLACE FUNCTION note(ids text[], is_over bool) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text := CASE WHEN is_over THEN 'guaco.over' ELSE 'guaco.news' END;
BEGIN
    IF cardinality(ids) > 0 THEN
        PERFORM set_config(name, current_setting(name) || array_to_string(ids, ' ') || ' ', false);
    END IF;
END $$;

-- And the front here, which does not know of it by itself.
CREATE OR REPLACE FUNCTION tell_topic(topic text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('guaco.topics', current_setting('guaco.topics') || topic || ' ', false);
    PERFORM note(ARRAY[topic], true);
END $$;

-- One batch with rules at a time.
CREATE OR REPLACE FUNCTION rules() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(1735746927, hashtext(current_schema()));
END $$;

-- `n` ids that follow one another.
CREATE OR REPLACE FUNCTION take_ids(n int8, now_us int8) RETURNS int8 LANGUAGE plpgsql AS $$
DECLARE
    lock_id int4 := hashtext(current_schema());
    first_id int8;
BEGIN
    PERFORM pg_advisory_lock(1735746928, lock_id);
    first_id := greatest(nextval('task_id'), now_us);
    PERFORM setval('task_id', first_id + n - 1);
    PERFORM pg_advisory_unlock(1735746928, lock_id);
    RETURN first_id;
END $$;

CREATE OR REPLACE FUNCTION keep_result(q text, i int8, st int8, att int8, ttl_ms int8, b bytea, why bytea, n int8)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO result(id, queue, state, attempt, finished, ends, body, reason)
        VALUES(i, q, st, att, n, n + ttl_ms, b, why)
        ON CONFLICT(id) DO UPDATE SET queue = excluded.queue, state = excluded.state,
            attempt = excluded.attempt, finished = excluded.finished, ends = excluded.ends,
            body = excluded.body, reason = excluded.reason, taken_by = NULL;
    PERFORM touch_due(n + ttl_ms);
END $$;

-- ---- lanes ----

CREATE OR REPLACE FUNCTION has_aside(l int8) RETURNS bool LANGUAGE sql STABLE AS
$$ SELECT EXISTS(SELECT FROM task WHERE aside = l AND state = 10) $$;

CREATE OR REPLACE FUNCTION set_wake(l int8, ms int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lane SET wake = ms WHERE id = l;
    IF ms IS NOT NULL THEN PERFORM touch_due(ms); END IF;
END $$;

CREATE OR REPLACE FUNCTION wake_by(l int8, ms int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS(SELECT FROM lane WHERE id = l AND wake <= ms) THEN
        PERFORM set_wake(l, ms);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION lane_get(q text, key bytea, mx int8, sp int8, bu int8, n int8) RETURNS int8
LANGUAGE plpgsql AS $$
DECLARE l lane;
BEGIN
    SELECT * INTO l FROM lane WHERE queue = q AND name = key;
    IF NOT FOUND THEN
        INSERT INTO lane VALUES(nextval('lane_id'), q, key, 1, 0, mx, sp, bu, 0, NULL)
            RETURNING * INTO l;
        RETURN l.id;
    END IF;
    UPDATE lane SET most = mx, spacing = sp, burst = bu, refs = refs + 1 WHERE id = l.id;
    IF (mx = 0 OR mx > l.most) AND has_aside(l.id) THEN PERFORM set_wake(l.id, n); END IF;
    RETURN l.id;
END $$;

CREATE OR REPLACE FUNCTION lane_put(i int8, n int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE l lane;
BEGIN
    UPDATE lane SET refs = refs - 1 WHERE id = i RETURNING * INTO l;
    IF NOT FOUND OR l.refs > 0 THEN RETURN; END IF;
    IF l.spacing = 0 OR l.full_us <= n * 1000 THEN
        DELETE FROM lane WHERE id = i;
    ELSE
        PERFORM set_wake(i, l.full_us / 1000 + 1);
    END IF;
END $$;

-- When `cost` starts may be taken, and when the bucket is full after.
CREATE OR REPLACE FUNCTION rate_take(l lane, cost int8, full_in int8, clock int8, OUT at int8, OUT full_out int8)
LANGUAGE plpgsql STABLE AS $$
DECLARE bucket int8 := l.burst * l.spacing;
BEGIN
    at := clock;
    full_out := full_in;
    IF l.spacing = 0 THEN RETURN; END IF;
    full_out := least(greatest(full_in, clock), clock + bucket) + least(cost, l.burst) * l.spacing;
    IF full_out - clock > bucket THEN
        at := full_out - bucket;
        full_out := NULL;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION make_ready(i int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE q text;
BEGIN
    UPDATE task SET state = 1, aside = NULL WHERE id = i RETURNING queue INTO q;
    PERFORM touch(q, 1);
END $$;

CREATE OR REPLACE FUNCTION put_in_place(i int8, at int8, n int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF at > n THEN
        UPDATE task SET state = 2, due = at, aside = NULL WHERE id = i;
        PERFORM touch_due(at);
    ELSE
        PERFORM make_ready(i);
    END IF;
END $$;

-- Let the first one come back if the lane would let it run, as far as full_us
-- says; and if that waits for an owner that is alone, the next too.  Gives when
-- it may (n: it came, or there was none; NULL: once another has ended), full_us
-- after it, and how many came.
CREATE OR REPLACE FUNCTION bring_back(i int8, n int8, INOUT full_us int8, INOUT count int8, OUT at int8)
LANGUAGE plpgsql AS $$
DECLARE
    l lane;
    t record;
    r record;
BEGIN
    LOOP
        SELECT id, suspect INTO t FROM task WHERE aside = i AND state = 10
            ORDER BY priority DESC, id LIMIT 1;
        IF NOT FOUND THEN
            at := n;
            RETURN;
        END IF;
        SELECT * INTO l FROM lane WHERE id = i;
        IF l.most <> 0 AND l.running >= l.most THEN RETURN; END IF;
        SELECT x.at, x.full_out INTO r
            FROM bond b, rate_take(l, b.costs[array_position(b.lanes, i)], full_us, n * 1000) x
            WHERE b.id = t.id;
        IF r.at > n * 1000 THEN
            at := (r.at + 999) / 1000;
            RETURN;
        END IF;
        full_us := r.full_out;
        PERFORM make_ready(t.id);
        count := count + 1;
        IF NOT t.suspect THEN
            at := n;
            RETURN;
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION kick(all_lanes int8[], but int8, n int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    i int8;
    when_at int8;
BEGIN
    FOREACH i IN ARRAY all_lanes LOOP
        IF i IS DISTINCT FROM but THEN
            when_at := NULL;
            SELECT x.at INTO when_at FROM lane l, bring_back(i, n, l.full_us, 0) x WHERE l.id = i;
            IF when_at > n THEN PERFORM wake_by(i, when_at); END IF;
        END IF;
    END LOOP;
END $$;

-- Whether all its limits let it run now; else it is set aside.
CREATE OR REPLACE FUNCTION enter(i int8, n int8) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
    b bond;
    l lane;
    r record;
    k int;
BEGIN
    SELECT * INTO b FROM bond WHERE id = i;
    FOR k IN 1..cardinality(b.lanes) LOOP
        SELECT * INTO l FROM lane WHERE id = b.lanes[k];
        r := NULL;
        IF l.most = 0 OR l.running < l.most THEN
            SELECT * INTO r FROM rate_take(l, b.costs[k], l.full_us, n * 1000);
            CONTINUE WHEN r.at <= n * 1000;
            PERFORM wake_by(l.id, (r.at + 999) / 1000);
        END IF;
        UPDATE task SET state = 10, aside = l.id WHERE id = i;
        PERFORM kick(b.lanes, l.id, n);
        RETURN false;
    END LOOP;
    FOR k IN 1..cardinality(b.lanes) LOOP
        UPDATE lane x SET running = x.running + 1,
            full_us = (SELECT full_out FROM rate_take(x, b.costs[k], x.full_us, n * 1000))
            WHERE x.id = b.lanes[k];
    END LOOP;
    UPDATE bond SET counted = true WHERE id = i;
    RETURN true;
END $$;

CREATE OR REPLACE FUNCTION leave(i int8, n int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE all_lanes int8[];
BEGIN
    UPDATE bond SET counted = false WHERE id = i AND counted RETURNING lanes INTO all_lanes;
    IF FOUND THEN
        UPDATE lane x SET running = x.running - c.times
            FROM (SELECT u, count(*) AS times FROM unnest(all_lanes) u GROUP BY u) c WHERE x.id = c.u;
        PERFORM kick(all_lanes, NULL, n);
    END IF;
END $$;

-- What was to be looked at by a clock that was set back since, is looked at
-- now.
CREATE OR REPLACE FUNCTION mind_clock(n int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF n < (SELECT latest FROM meta) THEN
        UPDATE lane SET full_us = least(full_us, n * 1000 + burst * spacing),
            wake = CASE WHEN wake > n THEN n ELSE wake END;
    END IF;
    UPDATE meta SET latest = n;
END $$;

-- Those of lanes that may run by now, at most `most`; and when the next may.
CREATE OR REPLACE FUNCTION wake_lanes(most int8, n int8, OUT count int8, OUT next_ms int8) LANGUAGE plpgsql AS $$
DECLARE
    l lane;
    at int8;
    full_us int8;
    room int8;
BEGIN
    count := 0;
    PERFORM mind_clock(n);
    LOOP
        SELECT * INTO l FROM lane WHERE wake IS NOT NULL ORDER BY wake LIMIT 1;
        IF NOT FOUND THEN RETURN; END IF;
        next_ms := l.wake;
        IF l.wake > n OR count >= most THEN RETURN; END IF;
        next_ms := NULL;
        UPDATE lane SET wake = NULL WHERE id = l.id;
        IF l.refs = 0 THEN
            UPDATE lane SET refs = 1 WHERE id = l.id;
            PERFORM lane_put(l.id, n);
            CONTINUE;
        END IF;
        at := n;
        full_us := l.full_us;
        room := CASE WHEN l.most = 0 THEN most ELSE l.most - l.running END;
        WHILE has_aside(l.id) AND room > 0 AND count < most AND at <= n LOOP
            SELECT x.at, x.full_us, x.count INTO at, full_us, count
                FROM bring_back(l.id, n, full_us, count) x;
            room := room - 1;
        END LOOP;
        -- Without room one that ends lets the next come back.
        IF has_aside(l.id) THEN
            IF at > n THEN
                PERFORM set_wake(l.id, at);
            ELSIF count >= most THEN
                PERFORM set_wake(l.id, n);
            END IF;
        END IF;
    END LOOP;
END $$;

-- ---- unique keys ----

CREATE OR REPLACE FUNCTION set_key(q text, k bytea, i int8, ms int8, n int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO uniq VALUES(q, k, i, CASE WHEN ms > 0 THEN n + ms END)
        ON CONFLICT(queue, key) DO UPDATE SET id = excluded.id, ends = excluded.ends;
    IF ms > 0 THEN PERFORM touch_due(n + ms); END IF;
END $$;

-- ---- ending ----

CREATE OR REPLACE FUNCTION leave_lanes(all_lanes int8[], n int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE i int8;
BEGIN
    FOREACH i IN ARRAY all_lanes LOOP PERFORM lane_put(i, n); END LOOP;
END $$;

CREATE OR REPLACE FUNCTION forget(i int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM bond WHERE id = i;
    DELETE FROM member WHERE held = i;
END $$;

-- Upwards through all that end by it.
CREATE OR REPLACE FUNCTION joined(held_id int8, no int8, i int8, st int8, b bytea, n int8) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    h bond;
    word text;
BEGIN
    LOOP
        SELECT x.* INTO h FROM bond x JOIN task t ON t.id = x.id
            WHERE x.id = held_id AND t.state = 9;
        IF NOT FOUND THEN RETURN; END IF;
        INSERT INTO member VALUES(held_id, no, i, st, b) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN RETURN; END IF;
        UPDATE bond SET missing = missing - 1 WHERE id = held_id RETURNING * INTO h;
        IF NOT h.must OR st = 4 THEN
            IF h.missing = 0 THEN PERFORM put_in_place(held_id, h.due, n); END IF;
            RETURN;
        END IF;
        word := CASE st WHEN 5 THEN 'failed' WHEN 6 THEN 'expired' WHEN 7 THEN 'was canceled'
            WHEN 8 THEN 'killed its process too often' ELSE 'ended' END;
        PERFORM keep_result(h.queue, held_id, 5, 0, 86400000, ''::bytea,
            convert_to('number ' || no || ' of the tasks that it waited for ' || word, 'UTF8'), n);
        PERFORM tell_topic(held_id::text);
        DELETE FROM task WHERE id = held_id;
        IF h.key IS NOT NULL AND h.till <> 3 THEN
            DELETE FROM uniq WHERE queue = h.queue AND key = h.key AND id = held_id;
        END IF;
        PERFORM leave_lanes(h.lanes, n);
        PERFORM forget(held_id);
        i := held_id;
        st := 5;
        b := ''::bytea;
        held_id := h.joins;
        no := h.member;
    END LOOP;
END $$;

-- A task has ended (its row is gone, or dead): `was_aside` is its lane then.
CREATE OR REPLACE FUNCTION ended(i int8, was_aside int8, st int8, b bytea, n int8) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE x bond;
BEGIN
    SELECT * INTO x FROM bond WHERE id = i;
    IF NOT FOUND THEN RETURN; END IF;
    IF x.counted THEN
        PERFORM leave(i, n);
    ELSE
        PERFORM kick(x.lanes, was_aside, n);
    END IF;
    IF x.key IS NOT NULL AND x.till <> 3 THEN
        DELETE FROM uniq WHERE queue = x.queue AND key = x.key AND id = i;
    END IF;
    PERFORM leave_lanes(x.lanes, n);
    PERFORM forget(i);
    IF x.joins IS NOT NULL THEN PERFORM joined(x.joins, x.member, i, st, b, n); END IF;
END $$;

CREATE OR REPLACE FUNCTION pass_on(i int8, next_id int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE bond x SET joins = b.joins, member = b.member
        FROM bond b WHERE b.id = i AND b.joins IS NOT NULL AND x.id = next_id;
    IF FOUND THEN UPDATE bond SET joins = NULL WHERE id = i; END IF;
END $$;

-- It ends without a run, or after one that counts no more.
CREATE OR REPLACE FUNCTION end_canceled(t task, why bytea, ttl_ms int8, n int8) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_result(t.queue, t.id, 7, t.attempt, ttl_ms, ''::bytea, why, n);
    DELETE FROM task WHERE id = t.id;
    IF t.ruled THEN PERFORM ended(t.id, t.aside, 7, ''::bytea, n); END IF;
END $$;

-- ---- puts ----

-- 23 arguments each: queue, priority, due, record, id or '', hold, member,
-- unique, until, unique ms, replace, joins (1 + place, or 0), must succeed, and
-- twice: key, running max, us between starts, burst, cost.
CREATE OR REPLACE FUNCTION put_ruled(a bytea[], i int4, given int8[], n int8, us int8,
    OUT id_out int8, OUT existed int8) LANGUAGE plpgsql AS $$
DECLARE
    q text := txt(a[i]);
    b bond;
    old bond;
    t task;
    k int4;
    held record;
BEGIN
    existed := 0;
    b.queue := q;
    b.priority := num(a[i + 1]);
    b.due := num(a[i + 2]);
    b.members := num(a[i + 5]);
    b.missing := b.members;
    b.member := num(a[i + 6]);
    b.till := num(a[i + 8]);
    b.must := a[i + 12] = '\x31';
    b.joins := given[num(a[i + 11])];
    b.counted := false;
    b.lanes := '{}';
    b.costs := '{}';
    FOR k IN i + 13 .. i + 18 BY 5 LOOP
        IF a[k] <> ''::bytea THEN
            b.lanes := b.lanes || lane_get(q, a[k], num(a[k + 1]), num(a[k + 2]), num(a[k + 3]), n);
            b.costs := b.costs || num(a[k + 4]);
        END IF;
    END LOOP;
    IF a[i + 7] <> ''::bytea THEN
        b.key := a[i + 7];
        SELECT u.id, u.ends INTO held FROM uniq u WHERE u.queue = q AND u.key = b.key;
        IF FOUND AND (held.ends IS NULL OR held.ends > n) THEN
            id_out := held.id;
            existed := 1;
            SELECT * INTO t FROM task WHERE id = held.id AND state IN (1, 2, 10) AND NOT suspect FOR UPDATE;
            IF NOT FOUND OR a[i + 10] <> '\x31' THEN
                PERFORM leave_lanes(b.lanes, n);
            ELSE
                SELECT * INTO old FROM bond WHERE id = held.id;
                PERFORM set_key(q, b.key, held.id, num(a[i + 9]), n);
                -- It may have had a turn, which is for another now.
                UPDATE task SET state = 0, aside = NULL WHERE id = held.id;
                PERFORM kick(old.lanes, t.aside, n);
                PERFORM leave_lanes(old.lanes, n);
                UPDATE bond SET priority = b.priority, due = b.due, till = b.till, lanes = b.lanes,
                    costs = b.costs, must = b.must WHERE id = held.id;
                UPDATE task SET priority = b.priority, record = a[i + 3] WHERE id = held.id;
                PERFORM put_in_place(held.id, b.due, n);
            END IF;
            IF b.joins IS NOT NULL THEN
                PERFORM joined(b.joins, b.member, held.id, 7, ''::bytea, n);
            END IF;
            RETURN;
        END IF;
    END IF;
    b.id := CASE WHEN a[i + 4] = ''::bytea THEN take_ids(1, us) ELSE num(a[i + 4]) END;
    id_out := b.id;
    IF b.key IS NOT NULL THEN PERFORM set_key(q, b.key, b.id, num(a[i + 9]), n); END IF;
    INSERT INTO bond SELECT b.*;
    INSERT INTO task(id, queue, state, priority, ruled, due, record)
        VALUES(b.id, q, 9, b.priority, true, greatest(b.due, 0), a[i + 3]);
    IF b.members = 0 THEN PERFORM put_in_place(b.id, b.due, n); END IF;
END $$;

-- {id, existed, ...}, or an error; and whether the first is new.
CREATE OR REPLACE FUNCTION put_all_ruled(a bytea[], i int4, n int8, us int8, OUT answer bytea, OUT ids int8[], OUT is_new bool)
LANGUAGE plpgsql AS $$
DECLARE
    total int4 := num(a[i + 1]);
    k int4;
    v_id int8;
    r record;
BEGIN
    PERFORM rules();
    ids := '{}';
    answer := ''::bytea;
    FOR k IN 0 .. total - 1 LOOP
        IF a[i + 2 + k * 23 + 4] <> ''::bytea THEN
            v_id := num(a[i + 2 + k * 23 + 4]);
            IF v_id > (SELECT last_value FROM task_id) THEN
                answer := ri(-2);
                RETURN;
            END IF;
            IF EXISTS(SELECT FROM task t WHERE t.id = v_id) THEN
                answer := ri(-12);
                RETURN;
            END IF;
        END IF;
    END LOOP;
    PERFORM mind_clock(n);
    FOR k IN 0 .. total - 1 LOOP
        SELECT * INTO r FROM put_ruled(a, i + 2 + k * 23, ids, n, us);
        ids := ids || r.id_out;
        is_new := coalesce(is_new, r.existed = 0);
        answer := answer || ri(r.id_out) || ri(r.existed);
    END LOOP;
    answer := rl(2 * total) || answer;
END $$;
