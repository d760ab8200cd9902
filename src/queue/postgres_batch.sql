-- A batch of ops on the PostgreSQL store, as one transaction: run(), the work
-- of redis_store.lua, whose arguments and answers these are: see there and in
-- redis_batch.lua what an op has behind its letter.  Answers are built as the
-- bytes of such replies.
--
-- Ordinary tasks are claimed, finished and put by many at once.  What has rules
-- or steers is done by one at a time: rules().

-- How far `a` was read, and the answer.  memo: what to keep of it for the case
-- that it does not arrive; NULL: all of it.
DO $$ BEGIN
    CREATE TYPE step AS (i int4, answer bytea, memo bytea);
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;

-- Whether the queue is known or there is room for it.
CREATE OR REPLACE FUNCTION has_room(q text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS(SELECT FROM queue WHERE name = q) THEN RETURN true; END IF;
    IF (SELECT count(*) FROM queue) >= 255 THEN RETURN false; END IF;
    INSERT INTO queue(name) VALUES(q) ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

-- What stands behind puts.
CREATE OR REPLACE FUNCTION skip_puts(a bytea[], i int4) RETURNS int4 LANGUAGE plpgsql AS $$
DECLARE k int4;
BEGIN
    IF a[i] = '\x52' THEN RETURN i + 2 + 23 * num(a[i + 1]); END IF;
    k := num(a[i]);
    i := i + 2;
    FOR k IN 1 .. k LOOP i := i + 4 + num(a[i + 3]); END LOOP;
    RETURN i;
END $$;

CREATE OR REPLACE FUNCTION puts_fit(a bytea[], i int4) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
    is_ruled bool := a[i] = '\x52';
    k int4 := num(a[CASE WHEN is_ruled THEN i + 1 ELSE i END]);
    fresh text[];
    q text;
BEGIN
    i := i + 2;
    FOR k IN 1 .. k LOOP
        q := txt(a[i]);
        IF NOT q = ANY(coalesce(fresh, '{}')) AND NOT EXISTS(SELECT FROM queue WHERE name = q) THEN
            fresh := fresh || q;
        END IF;
        i := CASE WHEN is_ruled THEN i + 23 ELSE i + 4 + num(a[i + 3])::int4 END;
    END LOOP;
    IF fresh IS NULL THEN RETURN true; END IF;
    IF (SELECT count(*) FROM queue) + cardinality(fresh) > 255 THEN RETURN false; END IF;
    INSERT INTO queue(name) SELECT unnest(fresh) ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

-- Puts: groups, total, then for each group queue, priority, due, count and the
-- records.  Answers the first of their ids, which follow one another.
CREATE OR REPLACE FUNCTION put_all(a bytea[], i int4, n int8, us int8, OUT answer bytea, OUT ids int8[],
    OUT is_new bool)
LANGUAGE plpgsql AS $$
DECLARE
    groups int4;
    first_id int8;
    q text;
    at int8;
    m int4;
BEGIN
    IF NOT puts_fit(a, i) THEN
        answer := ri(-5);
        RETURN;
    END IF;
    IF a[i] = '\x52' THEN
        SELECT x.answer, x.ids, x.is_new INTO answer, ids, is_new FROM put_all_ruled(a, i, n, us) x;
        RETURN;
    END IF;
    groups := num(a[i]);
    first_id := take_ids(num(a[i + 1]), us);
    answer := rt(first_id::text);
    ids := ARRAY[first_id];
    i := i + 2;
    FOR groups IN 1 .. groups LOOP
        q := txt(a[i]);
        at := num(a[i + 2]);
        m := num(a[i + 3]);
        INSERT INTO task(id, queue, state, priority, due, record)
            SELECT first_id + ord - 1, q, CASE WHEN at > n THEN 2 ELSE 1 END, num(a[i + 1]), at, r
            FROM unnest(a[i + 4 : i + 3 + m]) WITH ORDINALITY AS u(r, ord);
        IF at > n THEN
            PERFORM touch_due(at);
        ELSE
            PERFORM touch(q, m);
        END IF;
        first_id := first_id + m;
        i := i + 4 + m;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION op_put(a bytea[], i int4, n int8, us int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE r step;
BEGIN
    SELECT x.answer INTO r.answer FROM put_all(a, i, n, us) x;
    r.i := skip_puts(a, i);
    RETURN r;
END $$;

-- ---- runs ----

-- Three items of a claim's answer.
CREATE OR REPLACE FUNCTION claimed(t task) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE counts text := t.attempt || ' ' || t.failures || ' ' || t.deaths || ' ' || t.suspect::int4
    || ' ' || t.priority;
BEGIN
    IF t.ruled THEN
        counts := counts || ' ' || coalesce((SELECT members FROM bond WHERE id = t.id), 0);
    END IF;
    RETURN ri(t.id) || rt(counts) || rs(t.record);
END $$;

-- claim: queue, owner, max, alone
CREATE OR REPLACE FUNCTION op_claim(a bytea[], i int4, c int8, s int8, op_no int4, n int8) RETURNS step
LANGUAGE plpgsql AS $$
DECLARE
    r step;
    q text := txt(a[i]);
    own int8 := num(a[i + 1]);
    most int4 := num(a[i + 2]);
    is_alone bool := a[i + 3] = '\x31';
    has_lanes bool;
    has_revokes bool;
    has_more bool := false;
    ids int8[];
    let int8[];
    one int8;
    given int4 := 0;
    aside_count int4 := 0;
    bytes int8 := 0;
    rows bytea := ''::bytea;
    x record;
BEGIN
    r.i := i + 4;
    PERFORM FROM owner o WHERE o.id = own FOR KEY SHARE;
    IF NOT FOUND THEN
        r.answer := rl(4) || ri(-7) || ri(0) || ri(0) || ri(0);
        RETURN r;
    END IF;
    IF EXISTS(SELECT FROM queue WHERE name = q AND paused) THEN
        r.answer := rl(4) || ri(0) || ri(0) || ri(0) || ri(0);
        RETURN r;
    END IF;
    has_revokes := EXISTS(SELECT FROM revoke WHERE queue = q);
    has_lanes := EXISTS(SELECT FROM lane WHERE queue = q);
    IF has_lanes THEN
        PERFORM rules();
        PERFORM mind_clock(n);
    END IF;
    WHILE is_alone AND given = 0 AND aside_count < 1000 LOOP
        ids := ARRAY(SELECT t.id FROM task t WHERE queue = q AND state = 1 AND suspect
            ORDER BY priority DESC, t.id LIMIT 1 FOR UPDATE SKIP LOCKED);
        EXIT WHEN cardinality(ids) = 0;
        IF has_lanes AND EXISTS(SELECT FROM task t WHERE t.id = ids[1] AND ruled)
            AND NOT enter(ids[1], n) THEN
            aside_count := aside_count + 1;
            CONTINUE;
        END IF;
        UPDATE task t SET state = 3, owner = own, attempt = attempt + 1, alone = true, since = n,
            client = c, seq = s, op = op_no WHERE t.id = ids[1] RETURNING claimed(t) INTO rows;
        given := 1;
        most := 1;
    END LOOP;
    WHILE given < most AND bytes < 4194304 AND aside_count < 1000 LOOP
        ids := ARRAY(SELECT t.id FROM task t WHERE queue = q AND state = 1 AND NOT suspect
            ORDER BY priority DESC, t.id LIMIT least(most - given, 64) FOR UPDATE SKIP LOCKED);
        EXIT WHEN cardinality(ids) = 0;
        let := ids;
        IF has_lanes THEN
            let := '{}';
            FOREACH one IN ARRAY ids LOOP
                IF EXISTS(SELECT FROM task t WHERE t.id = one AND ruled) AND NOT enter(one, n) THEN
                    aside_count := aside_count + 1;
                ELSE
                    let := let || one;
                END IF;
            END LOOP;
            CONTINUE WHEN cardinality(let) = 0;
        END IF;
        WITH u AS (
            UPDATE task t SET state = 3, owner = own, attempt = attempt + 1,
                alone = is_alone AND most = 1, since = n, client = c, seq = s, op = op_no
                WHERE t.id = ANY(let) RETURNING t)
        SELECT count(*) AS count, sum(octet_length((t).record)) AS bytes, bool_or((t).ruled) AS ruled,
            string_agg(claimed(t), ''::bytea ORDER BY (t).priority DESC, (t).id) AS rows INTO x FROM u;
        given := given + x.count;
        bytes := bytes + x.bytes;
        rows := rows || x.rows;
        IF x.ruled THEN
            WITH b AS (UPDATE bond SET key = NULL FROM bond o
                WHERE bond.id = o.id AND o.id = ANY(let) AND o.till = 2 AND o.key IS NOT NULL
                RETURNING o.queue, o.key, o.id)
            DELETE FROM uniq USING b WHERE uniq.queue = b.queue AND uniq.key = b.key AND uniq.id = b.id;
        END IF;
    END LOOP;
    IF is_alone AND given = 1 AND most = 1 THEN
        WITH b AS (UPDATE bond SET key = NULL FROM bond o
            WHERE bond.id = o.id AND o.id = ANY(ids) AND o.till = 2 AND o.key IS NOT NULL
            RETURNING o.queue, o.key, o.id)
        DELETE FROM uniq USING b WHERE uniq.queue = b.queue AND uniq.key = b.key AND uniq.id = b.id;
    END IF;
    IF given >= most OR bytes >= 4194304 OR aside_count >= 1000 THEN
        has_more := EXISTS(SELECT FROM task WHERE queue = q AND state = 1 AND NOT suspect);
    END IF;
    IF given > 0 THEN
        IF has_more THEN PERFORM touch(q, 1); END IF;
        PERFORM touch_due(n + 5000);
    END IF;
    r.memo := ri(0) || ri(has_more::int4)
        || ri(EXISTS(SELECT FROM task WHERE queue = q AND state = 1 AND suspect)::int4)
        || ri(has_revokes::int4);
    r.answer := rl(4 + 3 * given) || r.memo || rows;
    r.memo := '\x43'::bytea || r.memo;
    RETURN r;
END $$;

-- finish: owner, n, n ids, n attempts, then '0' (no result, no puts, no rules),
-- or '1' (or '2' with rules, then pass on), state, ttl ms or '', body, reason,
-- puts or '0'
CREATE OR REPLACE FUNCTION op_finish(a bytea[], i int4, n int8, us int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    own int8 := num(a[i]);
    m int4 := num(a[i + 1]);
    at int4 := i + 2;
    k int4;
    ids int8[] := '{}';
    atts int8[] := '{}';
    ords int4[] := '{}';
    states int8[] := '{}';
    ttls int8[] := '{}';
    bodies bytea[] := '{}';
    reasons bytea[] := '{}';
    answers bytea[] := array_fill(ri(-7), ARRAY[m]);
    gone int8[];
    gone_ords int4[];
    ruled bool;
    pass bool;
    ends int8;
    t task;
    p_answer bytea;
    p_ids int8[];
    p_new bool;
    has_events bool := EXISTS(SELECT FROM event);
BEGIN
    i := at + 2 * m;
    FOR k IN 0 .. m - 1 LOOP
        IF a[i] = '\x30' THEN
            ids := ids || num(a[at + k]);
            atts := atts || num(a[at + m + k]);
            ords := ords || k;
            states := states || NULL::int8;
            ttls := ttls || NULL::int8;
            bodies := bodies || NULL::bytea;
            reasons := reasons || NULL::bytea;
            i := i + 1;
            CONTINUE;
        END IF;
        ruled := a[i] = '\x32';
        pass := ruled AND a[i + 1] = '\x31';
        IF ruled THEN i := i + 1; END IF;
        IF NOT ruled AND a[i + 5] = '\x30' THEN
            ids := ids || num(a[at + k]);
            atts := atts || num(a[at + m + k]);
            ords := ords || k;
            states := states || num(a[i + 1]);
            ttls := ttls || CASE WHEN a[i + 2] <> ''::bytea THEN num(a[i + 2]) END;
            bodies := bodies || a[i + 3];
            reasons := reasons || a[i + 4];
            i := i + 6;
            CONTINUE;
        END IF;
        -- One with rules or with puts.
        IF ruled THEN PERFORM rules(); END IF;
        SELECT * INTO t FROM task WHERE id = num(a[at + k]) AND state = 3 AND owner = own
            AND attempt = num(a[at + m + k]) FOR UPDATE;
        IF FOUND THEN
            p_answer := NULL;
            p_new := NULL;
            answers[k + 1] := ri(0);
            IF a[i + 5] <> '\x30' THEN
                SELECT x.answer, x.ids, x.is_new INTO p_answer, p_ids, p_new FROM put_all(a, i + 5, n, us) x;
                answers[k + 1] := p_answer;
            END IF;
            IF p_answer IS NULL OR get_byte(p_answer, 0) <> 58 THEN
                DELETE FROM task WHERE id = t.id;
                IF a[i + 2] <> ''::bytea THEN
                    PERFORM keep_result(t.queue, t.id, num(a[i + 1]), t.attempt, num(a[i + 2]), a[i + 3],
                        CASE WHEN a[i + 1] = '\x37' AND a[i + 4] = ''::bytea
                        THEN coalesce(t.cancel, ''::bytea) ELSE a[i + 4] END, n);
                ELSIF has_events THEN
                    DELETE FROM event WHERE id = t.id;
                END IF;
                IF ruled THEN
                    IF pass AND p_new THEN PERFORM pass_on(t.id, p_ids[1]); END IF;
                    PERFORM ended(t.id, NULL, num(a[i + 1]), a[i + 3], n);
                END IF;
                PERFORM note(ARRAY[t.id::text], true);
            END IF;
        END IF;
        i := CASE WHEN a[i + 5] = '\x30' THEN i + 6 ELSE skip_puts(a, i + 5) END;
    END LOOP;
    IF cardinality(ids) > 0 THEN
        WITH x AS (
            SELECT * FROM unnest(ids, atts, ords, states, ttls, bodies, reasons)
                AS u(id, attempt, ord, state, ttl, body, reason)),
        d AS (
            DELETE FROM task USING x WHERE task.id = x.id AND task.state = 3 AND task.owner = own
                AND task.attempt = x.attempt
            RETURNING x.*, task.queue, task.cancel),
        s AS (
            INSERT INTO result(id, queue, state, attempt, finished, ends, body, reason)
                SELECT id, queue, state, attempt, n, n + ttl, body,
                    CASE WHEN state = 7 AND reason = ''::bytea THEN coalesce(cancel, ''::bytea)
                    ELSE reason END
                FROM d WHERE ttl IS NOT NULL
            ON CONFLICT(id) DO NOTHING),
        e AS (
            DELETE FROM event USING d WHERE has_events AND ttl IS NULL AND event.id = d.id)
        SELECT array_agg(id), array_agg(ord), min(n + ttl) INTO gone, gone_ords, ends FROM d;
        IF gone IS NOT NULL THEN
            FOREACH k IN ARRAY gone_ords LOOP answers[k + 1] := ri(0); END LOOP;
            IF ends IS NOT NULL THEN PERFORM touch_due(ends); END IF;
            PERFORM note(gone::text[], true);
        END IF;
    END IF;
    r.i := i;
    r.answer := rl(m) || (SELECT string_agg(u, ''::bytea ORDER BY ord)
        FROM unnest(answers) WITH ORDINALITY AS x(u, ord));
    RETURN r;
END $$;

-- release: owner, id, attempt, delay ms, failed
CREATE OR REPLACE FUNCTION op_release(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    t task;
    delay int8 := num(a[i + 3]);
    has_failed bool := a[i + 4] = '\x31';
BEGIN
    r.i := i + 5;
    r.answer := ri(-7);
    IF EXISTS(SELECT FROM bond WHERE id = num(a[i + 1])) THEN PERFORM rules(); END IF;
    SELECT * INTO t FROM task WHERE id = num(a[i + 1]) AND state = 3 AND owner = num(a[i])
        AND attempt = num(a[i + 2]) FOR UPDATE;
    IF NOT FOUND THEN RETURN r; END IF;
    IF t.cancel IS NOT NULL THEN
        PERFORM end_canceled(t, t.cancel, 86400000, n);
        PERFORM note(ARRAY[t.id::text], true);
        r.answer := ri(1);
        RETURN r;
    END IF;
    UPDATE task SET state = CASE WHEN delay > 0 THEN 2 ELSE 1 END,
        due = CASE WHEN delay > 0 THEN n + delay ELSE 0 END, owner = NULL,
        failures = failures + has_failed::int4, suspect = suspect AND NOT has_failed WHERE id = t.id;
    IF t.ruled THEN PERFORM leave(t.id, n); END IF;
    IF delay > 0 THEN
        PERFORM touch_due(n + delay);
    ELSE
        PERFORM touch(t.queue, 1);
    END IF;
    r.answer := ri(0);
    RETURN r;
END $$;

-- event: owner, id, attempt, body
CREATE OR REPLACE FUNCTION op_event(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    v_id int8 := num(a[i + 1]);
    last int8;
BEGIN
    r.i := i + 4;
    r.answer := ri(-7);
    PERFORM FROM task WHERE id = v_id AND state = 3 AND owner = num(a[i]) AND attempt = num(a[i + 2])
        FOR UPDATE;
    IF NOT FOUND THEN RETURN r; END IF;
    SELECT coalesce(max(number), 0) + 1 INTO last FROM event WHERE id = v_id;
    INSERT INTO event VALUES(v_id, last, n + 86400000, a[i + 3]);
    DELETE FROM event WHERE id = v_id AND number <= last - 256;
    PERFORM touch_due(n + 86400000);
    PERFORM note(ARRAY[v_id::text], false);
    r.answer := ri(0);
    RETURN r;
END $$;

-- ---- owners ----

-- open: lease ms, who
CREATE OR REPLACE FUNCTION op_open(a bytea[], i int4, raw int8, us int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    v_id int8 := take_ids(1, us);
BEGIN
    INSERT INTO owner VALUES(v_id, txt(a[i + 1]), raw + num(a[i]));
    PERFORM touch_due(0);
    r.i := i + 2;
    r.answer := rt(v_id::text);
    RETURN r;
END $$;

-- renew: owner, lease ms
CREATE OR REPLACE FUNCTION op_renew(a bytea[], i int4, raw int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    own int8 := num(a[i]);
    m int8;
BEGIN
    r.i := i + 2;
    UPDATE owner SET lease_end = raw + num(a[i + 1]) WHERE id = own;
    IF NOT FOUND THEN
        r.answer := rl(1) || ri(-7);
        RETURN r;
    END IF;
    SELECT count(*), string_agg(ri(id), ''::bytea) INTO m, r.answer FROM task
        WHERE owner = own AND state = 3 AND cancel IS NOT NULL;
    r.answer := rl(1 + m) || ri(0) || coalesce(r.answer, ''::bytea);
    RETURN r;
END $$;

-- reap: owner, died, reason
CREATE OR REPLACE FUNCTION op_reap(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    own int8 := num(a[i]);
    has_died bool := a[i + 1] = '\x31';
    t task;
    h record;
    returned int8 := 0;
    dead int8[] := '{}';
BEGIN
    r.i := i + 3;
    DELETE FROM owner WHERE id = own;
    IF NOT FOUND THEN
        r.answer := rl(1) || ri(-11);
        RETURN r;
    END IF;
    FOR t IN SELECT * FROM task WHERE owner = own AND state = 3 ORDER BY id FOR UPDATE LOOP
        IF t.ruled AND t.cancel IS NULL THEN PERFORM leave(t.id, n); END IF;
        IF has_died AND t.alone THEN t.deaths := t.deaths + 1; END IF;
        IF t.cancel IS NOT NULL THEN
            PERFORM end_canceled(t, t.cancel, 86400000, n);
            PERFORM tell_topic(t.id::text);
        ELSIF has_died AND t.deaths >= 3 THEN
            UPDATE task SET state = 8, suspect = true, deaths = t.deaths, since = n, owner = NULL,
                reason = a[i + 2], ruled = false WHERE id = t.id;
            IF t.ruled THEN PERFORM ended(t.id, NULL, 8, ''::bytea, n); END IF;
            PERFORM keep_result(t.queue, t.id, 8, t.attempt, 604800000, ''::bytea, a[i + 2], n);
            dead := dead || t.id;
        ELSE
            UPDATE task SET state = 1, suspect = t.suspect OR has_died, deaths = t.deaths, owner = NULL
                WHERE id = t.id;
            PERFORM touch(t.queue, 1);
            returned := returned + 1;
        END IF;
    END LOOP;
    FOR h IN DELETE FROM holder WHERE owner = own RETURNING topic LOOP
        PERFORM tell_topic(h.topic);
    END LOOP;
    PERFORM note(dead::text[], true);
    r.answer := rl(2 + cardinality(dead)) || ri(0) || ri(returned)
        || coalesce((SELECT string_agg(ri(u), ''::bytea) FROM unnest(dead) u), ''::bytea);
    RETURN r;
END $$;

-- owners: {owner, who, expired (2: a day ago), holds, ...}
CREATE OR REPLACE FUNCTION op_owners(i int4, raw int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    m int8;
BEGIN
    SELECT count(*), string_agg(ri(id) || rt(who)
        || ri(CASE WHEN lease_end < raw - 86400000 THEN 2 WHEN lease_end <= raw THEN 1 ELSE 0 END)
        || ri(EXISTS(SELECT FROM task WHERE task.owner = owner.id AND state = 3)::int4), ''::bytea)
        INTO m, r.answer FROM owner;
    r.i := i;
    r.answer := rl(4 * m) || coalesce(r.answer, ''::bytea);
    r.memo := ri(0);
    RETURN r;
END $$;

-- ---- results ----

CREATE OR REPLACE FUNCTION drop_result(v_id int8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM result WHERE id = v_id;
    DELETE FROM event WHERE id = v_id;
END $$;

-- read: id, after, take, members
CREATE OR REPLACE FUNCTION op_read(a bytea[], i int4, c int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    v_id int8 := num(a[i]);
    m int8;
    rows bytea;
    x result;
BEGIN
    r.i := i + 4;
    r.memo := ri(0);
    IF a[i + 3] = '\x31' THEN
        SELECT count(*), string_agg(ri(number) || rs(int8send(id)
            || set_byte('\x00'::bytea, 0, state) || body), ''::bytea ORDER BY number)
            INTO m, rows FROM member WHERE held = v_id;
        r.answer := rl(2 * m) || coalesce(rows, ''::bytea);
        RETURN r;
    END IF;
    SELECT count(*), string_agg(rs(int4send(number::int4) || body), ''::bytea ORDER BY number)
        INTO m, rows FROM event WHERE id = v_id AND number > num(a[i + 1]);
    SELECT * INTO x FROM result WHERE id = v_id AND taken_by IS NULL;
    r.answer := rl(1 + m) || CASE WHEN x.id IS NULL THEN rs(''::bytea) ELSE rs(
        set_byte('\x00'::bytea, 0, x.state) || int4send(x.attempt::int4) || int8send(x.finished)
        || int4send(octet_length(x.body)) || set_byte('\x00'::bytea, 0, octet_length(x.queue))
        || convert_to(x.queue, 'UTF8') || x.body || x.reason) END || coalesce(rows, ''::bytea);
    IF a[i + 2] = '\x31' AND x.id IS NOT NULL THEN
        UPDATE result SET taken_by = c WHERE id = v_id AND taken_by IS NULL;
        IF NOT FOUND THEN -- another was faster
            r.answer := rl(1) || rs(''::bytea);
            RETURN r;
        END IF;
        DELETE FROM event WHERE id = v_id;
        r.memo := NULL;
    END IF;
    RETURN r;
END $$;

-- ---- time ----

-- promote: limit
CREATE OR REPLACE FUNCTION op_promote(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    most int8 := num(a[i]);
    let int8;
    next_ms int8;
    x record;
BEGIN
    SELECT w.count, w.next_ms INTO let, next_ms FROM wake_lanes(most, n) w;
    FOR x IN
        WITH u AS (
            UPDATE task SET state = 1, due = 0 WHERE id = ANY(ARRAY(
                SELECT id FROM task WHERE state = 2 AND due <= n ORDER BY due, id LIMIT most - let FOR UPDATE))
            RETURNING queue)
        SELECT queue, count(*) AS count FROM u GROUP BY queue
    LOOP
        PERFORM touch(x.queue, x.count);
        let := let + x.count;
    END LOOP;
    next_ms := least(next_ms, (SELECT min(due) FROM task WHERE state = 2));
    r.i := i + 1;
    r.answer := rl(2) || ri(let) || CASE WHEN next_ms IS NULL THEN rs(''::bytea) ELSE ri(next_ms) END;
    RETURN r;
END $$;

-- sweep: limit
CREATE OR REPLACE FUNCTION op_sweep(a bytea[], i int4, n int8, raw int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    most int8 := num(a[i]);
    m int8;
    count int8 := 0;
    next_ms int8;
BEGIN
    WITH d AS (DELETE FROM result WHERE id = ANY(ARRAY(
        SELECT id FROM result WHERE ends <= n ORDER BY ends LIMIT most)) RETURNING id),
    e AS (DELETE FROM event USING d WHERE event.id = d.id)
    SELECT count(*) INTO m FROM d;
    count := count + m;
    DELETE FROM event WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM event WHERE ends <= n ORDER BY ends LIMIT most - count));
    GET DIAGNOSTICS m = ROW_COUNT;
    count := count + m;
    DELETE FROM uniq WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM uniq WHERE ends <= n ORDER BY ends LIMIT most - count));
    GET DIAGNOSTICS m = ROW_COUNT;
    count := count + m;
    DELETE FROM kv WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM kv WHERE ends <= n ORDER BY ends LIMIT most - count));
    GET DIAGNOSTICS m = ROW_COUNT;
    count := count + m;
    DELETE FROM revoke WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM revoke WHERE ends <> 0 AND ends <= n LIMIT most - count));
    GET DIAGNOSTICS m = ROW_COUNT;
    count := count + m;
    DELETE FROM client WHERE at < raw - 3600000;
    next_ms := least((SELECT min(ends) FROM result), (SELECT min(ends) FROM event),
        (SELECT min(ends) FROM uniq WHERE ends IS NOT NULL), (SELECT min(ends) FROM kv WHERE ends IS NOT NULL));
    r.i := i + 1;
    r.answer := rl(2) || ri(count) || CASE WHEN next_ms IS NULL THEN rs(''::bytea) ELSE ri(next_ms) END;
    RETURN r;
END $$;

-- ---- recurring tasks ----

-- queue, generation (20 digits), n, then name, spec, zone, catch up, priority,
-- envelope of each
CREATE OR REPLACE FUNCTION op_recur_set(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    q text := txt(a[i]);
    gen text := txt(a[i + 1]);
    m int4 := num(a[i + 2]);
    k int4;
BEGIN
    r.i := i + 3 + 6 * m;
    IF NOT has_room(q) THEN
        r.answer := ri(-5);
        RETURN r;
    END IF;
    IF gen < (SELECT generation FROM queue WHERE name = q) COLLATE "C" THEN
        r.answer := ri(1);
        RETURN r;
    END IF;
    DELETE FROM recur WHERE queue = q AND NOT run_time
        AND NOT name = ANY(ARRAY(SELECT a[i + 3 + 6 * g] FROM generate_series(0, m - 1) g));
    FOR k IN i + 3 .. i + 2 + 6 * m BY 6 LOOP
        INSERT INTO recur AS x VALUES(q, a[k], a[k + 1], a[k + 2], num(a[k + 3]), gen, num(a[k + 4]), n,
            a[k + 5], false, false)
            ON CONFLICT(queue, name) DO UPDATE SET spec = excluded.spec, zone = excluded.zone,
                catch_up = excluded.catch_up, generation = gen, priority = excluded.priority,
                envelope = excluded.envelope,
                last = CASE WHEN x.spec = excluded.spec AND x.zone = excluded.zone THEN x.last ELSE n END
            WHERE NOT x.run_time;
    END LOOP;
    UPDATE queue SET generation = gen WHERE name = q;
    PERFORM touch_due(0);
    r.answer := ri(0);
    RETURN r;
END $$;

CREATE OR REPLACE FUNCTION op_recur_list(i int4) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    m int8;
BEGIN
    SELECT count(*), string_agg(rt(queue) || rs(name) || rs(spec) || rs(zone) || ri(catch_up)
        || rt(generation) || ri(priority) || ri(last) || rs(envelope) || ri(paused::int4)
        || ri(run_time::int4), ''::bytea) INTO m, r.answer FROM recur;
    r.i := i;
    r.answer := rl(11 * m) || coalesce(r.answer, ''::bytea);
    r.memo := ri(0);
    RETURN r;
END $$;

-- tick: queue, name, generation, expected last, new last, puts or '0'
CREATE OR REPLACE FUNCTION op_tick(a bytea[], i int4, n int8, us int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    def recur;
    p record;
BEGIN
    r.i := CASE WHEN a[i + 5] = '\x30' THEN i + 6 ELSE skip_puts(a, i + 5) END;
    SELECT * INTO def FROM recur WHERE queue = txt(a[i]) AND name = a[i + 1] FOR UPDATE;
    IF NOT FOUND THEN
        r.answer := ri(-11);
        RETURN r;
    END IF;
    IF def.generation <> txt(a[i + 2]) OR def.last <> num(a[i + 3]) OR def.paused THEN
        r.answer := ri(-10);
        RETURN r;
    END IF;
    r.answer := ri(0);
    IF a[i + 5] <> '\x30' THEN
        SELECT * INTO p FROM put_all(a, i + 5, n, us);
        r.answer := p.answer;
        IF get_byte(p.answer, 0) = 58 THEN RETURN r; END IF;
    END IF;
    UPDATE recur SET last = num(a[i + 4]) WHERE queue = def.queue AND name = def.name;
    RETURN r;
END $$;

-- one defined at run time: queue, name, spec, zone, catch up, priority,
-- envelope, paused
CREATE OR REPLACE FUNCTION op_recur_put(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    q text := txt(a[i]);
    old recur;
    last int8 := n;
    gen text := lpad(greatest(n, 1)::text, 20, '0');
BEGIN
    r.i := i + 8;
    IF NOT has_room(q) THEN
        r.answer := ri(-5);
        RETURN r;
    END IF;
    SELECT * INTO old FROM recur WHERE queue = q AND name = a[i + 1] FOR UPDATE;
    IF FOUND THEN
        IF old.spec = a[i + 2] AND old.zone = a[i + 3] THEN last := old.last; END IF;
        IF old.generation >= gen COLLATE "C" THEN
            gen := lpad((old.generation::numeric + 1)::text, 20, '0');
        END IF;
        DELETE FROM recur WHERE queue = q AND name = a[i + 1];
    END IF;
    INSERT INTO recur VALUES(q, a[i + 1], a[i + 2], a[i + 3], num(a[i + 4]), gen, num(a[i + 5]), last,
        a[i + 6], a[i + 7] = '\x31', true);
    PERFORM touch_due(0);
    r.answer := ri(0);
    RETURN r;
END $$;

-- drop or pause one: verb (d, p, r), queue, name
CREATE OR REPLACE FUNCTION op_recur_name(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    verb text := txt(a[i]);
BEGIN
    r.i := i + 3;
    IF verb = 'd' THEN
        DELETE FROM recur WHERE queue = txt(a[i + 1]) AND name = a[i + 2];
    ELSE
        UPDATE recur SET last = CASE WHEN paused AND verb = 'r' THEN n ELSE last END, paused = verb = 'p'
            WHERE queue = txt(a[i + 1]) AND name = a[i + 2];
    END IF;
    r.answer := ri(CASE WHEN FOUND THEN 0 ELSE -11 END);
    IF FOUND THEN PERFORM touch_due(0); END IF;
    RETURN r;
END $$;

-- ---- looking after ----

CREATE OR REPLACE FUNCTION op_stats(a bytea[], i int4) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    q text := txt(a[i]);
    x record;
BEGIN
    SELECT count(*) FILTER (WHERE state IN (1, 10)) AS waiting, count(*) FILTER (WHERE state = 2) AS delayed,
        count(*) FILTER (WHERE state = 3) AS running, count(*) FILTER (WHERE state = 8) AS dead,
        count(*) FILTER (WHERE state = 9) AS held INTO x FROM task WHERE queue = q;
    r.i := i + 1;
    r.answer := rl(8) || ri(x.waiting) || ri(x.delayed) || ri(x.running) || ri(x.dead)
        || ri((SELECT count(*) FROM result WHERE queue = q AND taken_by IS NULL))
        || ri((SELECT count(*) FROM recur WHERE queue = q)) || ri(x.held)
        || ri(EXISTS(SELECT FROM queue WHERE name = q AND paused)::int4);
    r.memo := ri(0);
    RETURN r;
END $$;

-- list: queue, state, offset, limit; {more, id, counts, record, reason, ...}
CREATE OR REPLACE FUNCTION op_list(a bytea[], i int4) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    q text := txt(a[i]);
    st int8 := num(a[i + 1]);
    more int4 := 0;
    m int8 := 0;
    bytes int8 := 0;
    rows bytea := ''::bytea;
    x record;
BEGIN
    FOR x IN
        SELECT t.*, CASE WHEN st = 1 THEN 0 WHEN st IN (2, 9) THEN due ELSE since END AS shown FROM task t
            WHERE queue = q AND (state = st OR st = 1 AND state = 10)
            ORDER BY CASE WHEN st = 1 THEN -priority END, CASE WHEN st IN (2, 9) THEN due
                WHEN st <> 1 THEN since END, id
            OFFSET num(a[i + 2]) LIMIT num(a[i + 3])
    LOOP
        IF bytes > 4194304 THEN
            more := 1;
            EXIT;
        END IF;
        rows := rows || ri(x.id) || rt(x.attempt || ' ' || x.failures || ' ' || x.deaths || ' ' || x.shown
            || ' ' || x.priority) || rs(x.record) || rs(coalesce(x.reason, ''::bytea));
        bytes := bytes + octet_length(x.record);
        m := m + 1;
    END LOOP;
    r.i := i + 4;
    r.answer := rl(1 + 4 * m) || ri(more) || rows;
    r.memo := ri(0);
    RETURN r;
END $$;

-- purge: queue, state
CREATE OR REPLACE FUNCTION op_purge(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    q text := txt(a[i]);
    st int8 := num(a[i + 1]);
    m int8 := 0;
    ruled_ids int8[];
    asides int8[];
    k int4;
BEGIN
    r.i := i + 2;
    IF st = 4 THEN
        WITH d AS (DELETE FROM result WHERE queue = q RETURNING id, taken_by),
        e AS (DELETE FROM event USING d WHERE event.id = d.id)
        SELECT count(*) FILTER (WHERE taken_by IS NULL) INTO m FROM d;
    ELSE
        WITH d AS (DELETE FROM task WHERE queue = q AND (state = st OR st = 1 AND state = 10)
            RETURNING id, ruled, aside)
        SELECT count(*), array_agg(id ORDER BY id) FILTER (WHERE ruled),
            array_agg(aside ORDER BY id) FILTER (WHERE ruled) INTO m, ruled_ids, asides FROM d;
        FOR k IN 1 .. coalesce(cardinality(ruled_ids), 0) LOOP
            PERFORM ended(ruled_ids[k], asides[k], 7, ''::bytea, n);
        END LOOP;
    END IF;
    r.answer := ri(m);
    RETURN r;
END $$;

-- replay: queue, id or '0'
CREATE OR REPLACE FUNCTION op_replay(a bytea[], i int4) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    m int8;
    v_id int8 := num(a[i + 1]);
BEGIN
    WITH u AS (UPDATE task SET state = 1, suspect = true, failures = 0, deaths = 0, reason = NULL
        WHERE queue = txt(a[i]) AND state = 8 AND (v_id = 0 OR id = v_id) RETURNING id),
    d AS (DELETE FROM result USING u WHERE result.id = u.id),
    e AS (DELETE FROM event USING u WHERE event.id = u.id)
    SELECT count(*) INTO m FROM u;
    IF m > 0 THEN PERFORM touch(txt(a[i]), m); END IF;
    r.i := i + 2;
    r.answer := ri(m);
    RETURN r;
END $$;

-- ---- steering ----

-- cancel: id, reason, ttl ms; {rc, state, owner}
CREATE OR REPLACE FUNCTION op_cancel(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    t task;
BEGIN
    r.i := i + 3;
    SELECT * INTO t FROM task WHERE id = num(a[i]) AND state <> 8 FOR UPDATE;
    IF NOT FOUND THEN
        r.answer := rl(3) || ri(-11) || ri(1) || rt('0');
    ELSIF t.state = 3 THEN
        UPDATE task SET cancel = a[i + 1] WHERE id = t.id AND cancel IS NULL;
        PERFORM note(ARRAY['o' || t.owner], false);
        r.answer := rl(3) || ri(0) || ri(3) || rt(t.owner::text);
    ELSE
        PERFORM end_canceled(t, a[i + 1], num(a[i + 2]), n);
        PERFORM tell_topic(t.id::text);
        r.answer := rl(3) || ri(0) || ri(CASE WHEN t.state = 10 THEN 1 ELSE t.state END) || rt('0');
    END IF;
    RETURN r;
END $$;

-- pause: queue, or resume
CREATE OR REPLACE FUNCTION op_pause(a bytea[], i int4) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    q text := txt(a[i]);
    m int8;
BEGIN
    r.i := i + 2;
    r.answer := ri(0);
    IF NOT has_room(q) THEN
        r.answer := ri(-5);
        RETURN r;
    END IF;
    UPDATE queue SET paused = a[i + 1] = '\x31' WHERE name = q;
    IF a[i + 1] <> '\x31' THEN
        SELECT count(*) INTO m FROM task WHERE queue = q AND state = 1;
        IF m > 0 THEN PERFORM touch(q, m); END IF;
    END IF;
    RETURN r;
END $$;

-- revocation: verb, queue, key, until ms, once
CREATE OR REPLACE FUNCTION op_revoke(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    verb int8 := num(a[i]);
    q text := txt(a[i + 1]);
    x record;
BEGIN
    r.i := i + 5;
    r.answer := ri(0);
    DELETE FROM revoke WHERE queue = q AND key = a[i + 2] AND ends <> 0 AND ends <= n;
    IF verb = 1 THEN
        IF has_room(q) THEN
            INSERT INTO revoke VALUES(q, a[i + 2], num(a[i + 3]), a[i + 4] = '\x31')
                ON CONFLICT(queue, key) DO UPDATE SET ends = excluded.ends, once = excluded.once;
        ELSE
            r.answer := ri(-5);
        END IF;
        RETURN r;
    END IF;
    SELECT once INTO x FROM revoke WHERE queue = q AND key = a[i + 2];
    IF FOUND THEN
        r.answer := ri(1);
        IF verb = 2 OR verb = 4 AND x.once THEN
            DELETE FROM revoke WHERE queue = q AND key = a[i + 2];
        END IF;
    END IF;
    RETURN r;
END $$;

-- key: verb, key, topic, value, ttl ms or '0', amount; {rc, value}
CREATE OR REPLACE FUNCTION op_key(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    verb int8 := num(a[i]);
    k bytea := a[i + 1];
    ttl int8 := num(a[i + 4]);
    old kv;
    is_there bool;
    changed bool := false;
    rc int8 := 0;
    value bytea := ''::bytea;
    sum numeric;
BEGIN
    r.i := i + 6;
    SELECT * INTO old FROM kv WHERE key = k AND (ends IS NULL OR ends > n);
    is_there := FOUND;
    IF NOT is_there AND verb <> 3 THEN DELETE FROM kv WHERE key = k; END IF;
    IF verb = 1 OR verb = 2 AND NOT is_there THEN
        value := a[i + 3];
        changed := true;
    ELSIF verb = 2 THEN
        rc := -12;
    ELSIF verb = 6 THEN
        IF is_there AND encode(old.value, 'escape') !~ '^(0|-?[1-9][0-9]{0,18})$' THEN
            rc := -10;
        ELSE
            sum := CASE WHEN is_there THEN encode(old.value, 'escape')::numeric ELSE 0 END + num(a[i + 5]);
            IF sum > 9223372036854775807 OR sum < -9223372036854775808
                OR is_there AND abs(encode(old.value, 'escape')::numeric) > 9223372036854775807 THEN
                rc := -10;
            ELSE
                value := convert_to(sum::text, 'UTF8');
                changed := true;
            END IF;
        END IF;
    ELSIF NOT is_there THEN
        rc := -11;
    ELSE
        IF verb <> 5 THEN value := old.value; END IF;
        IF verb <> 3 THEN DELETE FROM kv WHERE key = k; END IF;
    END IF;
    IF changed THEN
        INSERT INTO kv VALUES(k, CASE WHEN verb = 6 AND is_there THEN old.ends
            WHEN ttl > 0 THEN n + ttl END, value)
            ON CONFLICT(key) DO UPDATE SET ends = excluded.ends, value = excluded.value;
        IF ttl > 0 THEN PERFORM touch_due(n + ttl); END IF;
        PERFORM tell_topic(txt(a[i + 2]));
        IF verb <> 6 THEN value := ''::bytea; END IF;
    END IF;
    r.answer := rl(2) || ri(rc) || rs(value);
    IF verb = 3 THEN r.memo := ri(0); END IF;
    RETURN r;
END $$;

-- keys: prefix, after, limit; {more, key, value, ...}
CREATE OR REPLACE FUNCTION op_keys(a bytea[], i int4, n int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    more int4 := 0;
    m int8 := 0;
    bytes int8 := 0;
    rows bytea := ''::bytea;
    x record;
    len int4 := octet_length(a[i]);
BEGIN
    FOR x IN
        SELECT key, value FROM kv WHERE key >= a[i] AND key > a[i + 1] AND (ends IS NULL OR ends > n)
            ORDER BY key
    LOOP
        EXIT WHEN m >= num(a[i + 2]) OR substr(x.key, 1, len) <> a[i];
        IF bytes > 4194304 THEN
            more := 1;
            EXIT;
        END IF;
        rows := rows || rs(x.key) || rs(x.value);
        bytes := bytes + octet_length(x.value);
        m := m + 1;
    END LOOP;
    r.i := i + 3;
    r.answer := rl(1 + 2 * m) || ri(more) || rows;
    r.memo := ri(0);
    RETURN r;
END $$;

-- lock: verb, name, topic, slots, owner, lease ms, token; {rc, holders, token,
-- free in ms}
CREATE OR REPLACE FUNCTION op_lock(a bytea[], i int4, raw int8, us int8) RETURNS step LANGUAGE plpgsql AS $$
DECLARE
    r step;
    verb int8 := num(a[i]);
    own int8 := num(a[i + 4]);
    v_token int8 := num(a[i + 6]);
    m int8;
    first_end int8;
    rc int8 := 0;
    free int8 := 0;
BEGIN
    r.i := i + 7;
    DELETE FROM holder WHERE name = a[i + 1] AND ends <= raw;
    SELECT count(*), min(ends) INTO m, first_end FROM holder WHERE name = a[i + 1];
    IF verb = 1 THEN
        IF NOT EXISTS(SELECT FROM owner WHERE id = own FOR KEY SHARE) THEN
            rc := -7;
        ELSIF m >= num(a[i + 3]) THEN
            rc := -3;
            free := first_end - raw;
        ELSE
            v_token := take_ids(1, us);
            INSERT INTO holder VALUES(a[i + 1], v_token, own, raw + num(a[i + 5]), txt(a[i + 2]));
            m := m + 1;
        END IF;
    ELSIF verb = 2 THEN
        UPDATE holder SET ends = raw + num(a[i + 5]) WHERE name = a[i + 1] AND token = v_token;
        IF NOT FOUND THEN rc := -7; END IF;
    ELSIF verb = 3 THEN
        DELETE FROM holder WHERE name = a[i + 1] AND token = v_token;
        IF FOUND THEN
            PERFORM tell_topic(txt(a[i + 2]));
        ELSE
            rc := -7;
        END IF;
    ELSIF verb = 5 THEN
        DELETE FROM holder WHERE name = a[i + 1];
        PERFORM tell_topic(txt(a[i + 2]));
    END IF;
    r.answer := rl(4) || ri(rc) || ri(m) || rt(CASE WHEN verb = 1 AND rc = 0 THEN v_token ELSE 0 END::text)
        || ri(free);
    RETURN r;
END $$;

-- ---- one batch, one transaction ----

-- News of the batch, for tell(): ready queues that this client's own workers
-- do not want, due, topics.
CREATE OR REPLACE FUNCTION set_news(news text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('guaco.tell', news::text, false);
END $$;

-- It was done, and the answer did not come: give it again.
CREATE OR REPLACE FUNCTION again(me client, us int8) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    answer bytea := rl(cardinality(me.memo) + 1) || ri(us);
    part bytea;
    k int4;
    m int8;
    rows bytea;
BEGIN
    PERFORM set_news(me.news);
    FOR k IN 1 .. cardinality(me.memo) LOOP
        part := me.memo[k];
        IF get_byte(part, 0) = 67 THEN
            SELECT count(*), string_agg(claimed(t), ''::bytea ORDER BY priority DESC, id) INTO m, rows FROM task t
                WHERE state = 3 AND client = me.id AND seq = me.seq AND op = k;
            part := rl(4 + 3 * m) || substr(part, 2) || coalesce(rows, ''::bytea);
        END IF;
        answer := answer || part;
    END LOOP;
    RETURN answer;
END $$;

-- The answer of that one never came, or could not be used: what it claimed is
-- held by nobody, and who took a result does not have it.
CREATE OR REPLACE FUNCTION take_back(c int8, s int8, n int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t record;
BEGIN
    FOR t IN UPDATE task SET state = 1, attempt = attempt - 1, owner = NULL
        WHERE state = 3 AND client = c AND seq = s RETURNING id, queue, ruled
    LOOP
        IF t.ruled THEN
            PERFORM rules();
            PERFORM leave(t.id, n);
        END IF;
        PERFORM touch(t.queue, 1);
    END LOOP;
    UPDATE result SET taken_by = NULL WHERE taken_by = c;
END $$;

-- client, number of the batch, number of an earlier one whose answer never came
-- (or 0), shift of the clock in ms, queues whose tasks this client's own
-- workers may want (",a,b,"), flags (1: it writes, 2: one at a time), the ops.
-- Answers {time in us, due ms or '', {queue, count, whether others were woken,
-- ...}, {topic, ...}, an answer an op}.
CREATE OR REPLACE FUNCTION run(c int8, s int8, unsure int8, shift int8, hungry text, flags int4, a bytea[])
RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    us int8;
    raw int8;
    n int8;
    writes bool := flags & 1 <> 0;
    me client;
    kind text;
    i int4 := 1;
    total int4 := cardinality(a);
    r step;
    op_no int4 := 3;
    has_taken bool := false;
    answers bytea[] := '{}';
    kept bytea[] := '{}';
    touched bytea;
    told text := '';
    x record;
BEGIN
    IF writes THEN
        INSERT INTO client(id, seq, at) VALUES(c, 0, 0) ON CONFLICT DO NOTHING;
        SELECT * INTO me FROM client WHERE id = c FOR UPDATE;
    END IF;
    IF flags & 2 <> 0 THEN PERFORM rules(); END IF;
    us := (extract(epoch FROM clock_timestamp()) * 1000000)::int8;
    raw := us / 1000;
    n := raw + shift;
    IF writes THEN
        IF me.seq = s THEN RETURN again(me, us); END IF;
        IF me.seq > s THEN RAISE EXCEPTION 'stale batch' USING ERRCODE = 'GU001'; END IF;
    END IF;
    PERFORM set_config('guaco.ready', '', false), set_config('guaco.due', '', false),
        set_config('guaco.topics', '', false), set_config('guaco.over', '', false),
        set_config('guaco.news', '', false), set_config('guaco.tell', '', false);
    IF writes AND unsure <> 0 AND me.seq = unsure THEN
        PERFORM take_back(c, unsure, n);
    ELSIF me.took THEN
        DELETE FROM result WHERE taken_by = c;
    END IF;
    WHILE i <= total LOOP
        kind := txt(a[i]);
        i := i + 1;
        op_no := op_no + 1;
        r := CASE kind
            WHEN 'F' THEN op_finish(a, i, n, us)
            WHEN 'C' THEN op_claim(a, i, c, s, op_no, n)
            WHEN 'P' THEN op_put(a, i, n, us)
            WHEN 'R' THEN op_release(a, i, n)
            WHEN 'E' THEN op_event(a, i, n)
            WHEN 'N' THEN op_renew(a, i, raw)
            WHEN 'O' THEN op_open(a, i, raw, us)
            WHEN 'X' THEN op_reap(a, i, n)
            WHEN 'L' THEN op_owners(i, raw)
            WHEN 'D' THEN op_read(a, i, c)
            WHEN 'M' THEN op_promote(a, i, n)
            WHEN 'S' THEN op_sweep(a, i, n, raw)
            WHEN 'U' THEN op_recur_set(a, i, n)
            WHEN 'V' THEN op_recur_list(i)
            WHEN 'K' THEN op_tick(a, i, n, us)
            WHEN 'T' THEN op_stats(a, i)
            WHEN 'Y' THEN op_list(a, i)
            WHEN 'Z' THEN op_purge(a, i, n)
            WHEN 'W' THEN op_replay(a, i)
            WHEN 'I' THEN (i + 1, rt(take_ids(num(a[i]), us)::text), NULL)::step
            WHEN 'G' THEN op_cancel(a, i, n)
            WHEN 'J' THEN op_pause(a, i)
            WHEN 'B' THEN op_revoke(a, i, n)
            WHEN 'H' THEN op_key(a, i, n)
            WHEN 'A' THEN op_keys(a, i, n)
            WHEN 'Q' THEN op_lock(a, i, raw, us)
            WHEN 'u' THEN op_recur_put(a, i, n)
            WHEN 'v' THEN op_recur_name(a, i, n)
        END;
        IF r.i IS NULL THEN RAISE EXCEPTION 'an op of a newer guaco'; END IF;
        i := r.i;
        has_taken := has_taken OR kind = 'D' AND r.memo IS NULL;
        answers := answers || r.answer;
        IF writes THEN kept := kept || coalesce(r.memo, r.answer); END IF;
    END LOOP;
    touched := rl(0);
    IF current_setting('guaco.ready') <> '' THEN
        SELECT count(*) AS count, string_agg(rt(q) || ri(m) || ri(w::int4), ''::bytea) AS rows,
            coalesce(string_agg(q || ' ' || m, ' ') FILTER (WHERE w), '') AS told INTO x FROM (
            SELECT split_part(u, ' ', 1) AS q, sum(split_part(u, ' ', 2)::int8)::int8 AS m,
                position(',' || split_part(u, ' ', 1) || ',' IN hungry) = 0 AS w
            FROM unnest(string_to_array(rtrim(current_setting('guaco.ready'), E'\n'), E'\n')) u
            GROUP BY split_part(u, ' ', 1)) y;
        touched := rl(3 * x.count) || x.rows;
        told := x.told;
    END IF;
    kept := ARRAY[CASE WHEN current_setting('guaco.due') = '' THEN rt('')
            ELSE ri(current_setting('guaco.due')::int8) END,
        touched,
        (SELECT rl(count(*)) || coalesce(string_agg(rt(u), ''::bytea), ''::bytea)
            FROM unnest(string_to_array(rtrim(current_setting('guaco.topics')), ' ')) u)] || kept;
    me.news := ARRAY[told, current_setting('guaco.due'), rtrim(current_setting('guaco.over')),
        rtrim(current_setting('guaco.news'))];
    IF writes THEN
        PERFORM set_news(me.news);
        UPDATE client SET seq = s, at = raw, took = has_taken, news = me.news, memo = kept WHERE id = c;
    END IF;
    RETURN rl(4 + cardinality(answers)) || ri(us) || kept[1] || kept[2] || kept[3]
        || coalesce((SELECT string_agg(u, ''::bytea ORDER BY ord)
            FROM unnest(answers) WITH ORDINALITY AS y(u, ord)), ''::bytea);
END $$;

-- ---- who must know ----

-- Whose ear is gone lets go of its lock.
CREATE OR REPLACE FUNCTION send(who int8, message text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    IF pg_try_advisory_xact_lock(who) THEN
        DELETE FROM idle WHERE client = who;
        DELETE FROM watch WHERE client = who;
        DELETE FROM keeper WHERE client = who;
        RETURN false;
    END IF;
    PERFORM pg_notify('guaco_' || to_hex(who), message);
    RETURN true;
END $$;

-- One idle client, other than `c`, of the queue is told.
CREATE OR REPLACE FUNCTION wake_one(c int8, q text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE who int8;
BEGIN
    LOOP
        DELETE FROM idle WHERE queue = q AND client = (
            SELECT client FROM idle WHERE queue = q LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING client INTO who;
        IF NOT FOUND THEN RETURN false; END IF;
        IF who <> c AND send(who, 'T' || q) THEN RETURN true; END IF;
    END LOOP;
END $$;

-- After the commit of run(), so that whoever is told finds it done, and who
-- looked before it was done is told.
CREATE OR REPLACE FUNCTION tell(c int8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    news text[];
    parts text[];
    k int4;
    m int8;
    due_ms int8;
    x record;
BEGIN
    IF current_setting('guaco.tell') = '' THEN RETURN; END IF;
    news := current_setting('guaco.tell');
    parts := string_to_array(news[1], ' ');
    FOR k IN 1 .. coalesce(cardinality(parts), 0) BY 2 LOOP
        FOR m IN 1 .. parts[k + 1]::int8 LOOP
            EXIT WHEN NOT wake_one(c, parts[k]);
        END LOOP;
    END LOOP;
    IF news[2] <> '' THEN
        due_ms := news[2]::int8;
        FOR x IN SELECT client FROM keeper WHERE due > due_ms AND client <> c LOOP
            IF send(x.client, 'K' || due_ms) THEN
                UPDATE keeper SET due = due_ms WHERE client = x.client;
            END IF;
        END LOOP;
    END IF;
    IF (news[3] <> '' OR news[4] <> '') AND EXISTS(SELECT FROM watch) THEN
        FOR x IN SELECT topic, client FROM watch WHERE client <> c
            AND topic = ANY(string_to_array(news[3] || ' ' || news[4], ' '))
        LOOP
            PERFORM send(x.client, 'N' || x.topic);
        END LOOP;
        DELETE FROM watch WHERE topic = ANY(string_to_array(news[3], ' '));
    END IF;
    PERFORM set_config('guaco.tell', '', false);
END $$;

-- Who wants to be told: client, then for each notice its kind (T tasks, N a
-- task, K a keeper), + to be told, - no more, ! to tell another, and the queue,
-- the topic or the time of the next look.
CREATE OR REPLACE FUNCTION bell(c int8, a bytea[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    i int4;
    kind text;
    what text;
    name text;
BEGIN
    FOR i IN 1 .. cardinality(a) BY 3 LOOP
        kind := txt(a[i]);
        what := txt(a[i + 1]);
        name := txt(a[i + 2]);
        IF kind = 'T' AND what = '!' THEN
            PERFORM wake_one(c, name);
        ELSIF kind = 'T' AND what = '+' THEN
            INSERT INTO idle VALUES(name, c) ON CONFLICT DO NOTHING;
        ELSIF kind = 'T' THEN
            DELETE FROM idle WHERE queue = name AND client = c;
        ELSIF kind = 'K' AND what = '+' THEN
            INSERT INTO keeper VALUES(c, CASE WHEN name = '+inf' THEN 9223372036854775807
                ELSE name::int8 END) ON CONFLICT(client) DO UPDATE SET due = excluded.due;
        ELSIF kind = 'K' THEN
            DELETE FROM keeper WHERE client = c;
        ELSIF what = '+' THEN
            INSERT INTO watch VALUES(name, c) ON CONFLICT DO NOTHING;
        ELSE
            DELETE FROM watch WHERE topic = name AND client = c;
        END IF;
    END LOOP;
END $$;
