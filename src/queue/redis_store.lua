-- A batch of ops on the Redis store, as one step: what broker_redis.c sends.
--
-- KEYS[1]  {prefix}; every key begins with it, so that all are in one slot
-- ARGV     client, number of the batch (16 digits), number of an earlier one
--          whose answer never came (or ''), shift of the clock in ms, queues
--          whose tasks this client's own workers may want (",a,b,"), the ops
--
-- Answers {time in us, due ms or '', {queue, count, whether others were woken,
-- ...}, {topic, ...}, an answer an op}.  A topic is a task's id, oOWNER, or kHASH of a key or lock.
--
-- An id is 16 digits: the time in us, or one more than the last.  So ids are
-- sorted as text, and a server that lost its last seconds gives none twice.
--
--   t         hash    id -> queue (a byte of length first), priority (2 bytes),
--                     envelope; from the put until the task is no more
--   c         hash    id -> counts of one that has run and does not run now
--   queues    set     all names
--   q:Q:PRIO  list    ids that wait and have never run
--   p:Q       zset    the priorities for which there is such a list
--   b:Q       zset    ids that wait again, or were delayed; by -priority
--   x:Q       zset    suspects that wait; by -priority
--   d:Q       zset    "ID PRIO" of what is delayed, by due time
--   run:OWNER hash    id -> counts and queue of what it runs
--   owners    hash    owner -> who it is
--   leases    hash    owner -> end of its lease, server's ms
--   dead:Q    zset    ids by time of death;  reasons: hash id -> reason
--   r         hash    id -> result;  e:Q: zset of ids by end of life
--   ev:ID     list    events of a task;  ee: zset of ids by end of life
--   u:Q       hash    name -> recurring task;  gen: hash queue -> generation
--   paused    set     queues;  canceled: hash id -> reason, of what runs
--   rv:Q      hash    key -> "UNTIL ONCE" of a revocation
--   kv        hash    key -> value;  kends: zset of keys by end of life;
--                     knames: zset of all keys, in their order
--   lk:NAME   hash    token -> "END OWNER" of a lock's holder;  lo:OWNER: hash
--                     name -> topic of locks that it may hold
--   rules     hash    id -> what binds it to others, and its place
--   lanes     hash    lane (queue, NUL, key of a limit) -> its state;  wakes:
--                     zset of lanes by when to look at those aside
--   as:LANE   zset    ids set aside for it;  a:Q: zset of all aside;  h:Q: zset
--                     of those that are held;  m:ID: hash number -> member
--   uniq      hash    queue, NUL, unique key -> "ID END";  uends: zset of them
--   idle:Q    set     clients whose workers wait for tasks
--   watch     hash    id -> clients that watch the task
--   keepers   zset    clients by when their keeper looks next
--   memo:CLIENT       number and answers of its last batch, for ten minutes

local P, A, call, fmt = KEYS[1], ARGV, redis.call, string.format
local pack, unpak = struct.pack, struct.unpack
if redis.replicate_commands then redis.replicate_commands() end
local time = call('TIME')
local now_us = time[1] * 1000000 + time[2]
local raw = math.floor(now_us / 1000)
local now = raw + A[4]
local client, seq = A[1], A[2]
local T, C, W, RES = P .. ':t', P .. ':c', P .. ':watch', P .. ':r'
local QUEUES, OWNERS = P .. ':queues', P .. ':owners'
local memo_key = P .. ':memo:' .. client
local COUNTS, HELD, RESULT = '>I4I4I4Bh', '>I4I4I4BhI8', '>BI4I8I4B'
local LOST, MISSING, STATE, LIMIT = -7, -11, -10, -5
local AGAIN, INVALID, EXISTS = -3, -2, -12
local RULES, CANCELED = P .. ':rules', P .. ':canceled'

-- A number of up to 2^53 as text; '..' would round it.
local function int(x) return fmt('%d', x) end

-- ---- what the batch touched ----

local due
local ready, names, topics = {}, {}, {}

-- Whether there is anything of a kind; most stores have no rules, and pay for
-- them with one look a call.
local there = {}

local function has(key)
    if there[key] == nil then there[key] = call('EXISTS', key) == 1 end
    return there[key]
end

local rules_of, library -- of a task, or false; and what is done with them

local function touch(q, n)
    if ready[q] then
        ready[q] = ready[q] + n
    else
        ready[q] = n
        names[#names + 1] = q
    end
end

local function touch_due(ms)
    if not due or ms < due then due = ms end
end

-- CMD key item...; the stack takes some thousands at a time.
local function many(cmd, key, items)
    local n, sum = #items, 0
    for i = 1, n, 4000 do
        sum = sum + call(cmd, key, unpack(items, i, math.min(i + 3999, n)))
    end
    return sum
end

-- ---- ids and puts ----

local next_id

local function take_ids(n)
    if not next_id then
        next_id = math.max((call('GET', P .. ':id') or 0) + 1, now_us)
    end
    local first = next_id
    next_id = first + n
    return first
end

-- Whether the queues of the puts at A[i] are known or there is room for them;
-- and what stands behind.
local function room(i)
    local fresh, n, groups = {}, 0, tonumber(A[i])
    local ruled = not groups
    if ruled then groups = tonumber(A[i + 1]) end
    i = i + 2
    for _ = 1, groups do
        local q = A[i]
        if not fresh[q] and call('SISMEMBER', QUEUES, q) == 0 then
            fresh[q] = true
            n = n + 1
            fresh[n] = q
        end
        i = i + (ruled and 23 or 4 + A[i + 3])
    end
    if n > 0 then
        if call('SCARD', QUEUES) + n > 255 then return false, i end
        for k = 1, n do call('SADD', QUEUES, fresh[k]) end
    end
    return true, i
end

-- What stands behind puts that are not done.
local function skip_puts(i)
    local groups = tonumber(A[i])
    if not groups then return i + 2 + 23 * A[i + 1] end
    i = i + 2
    for _ = 1, groups do i = i + 4 + A[i + 3] end
    return i
end

-- Puts: groups, total, then for each group queue, priority, due, count and the
-- envelopes.  Gives the first of their ids, which follow one another.
local function put(i)
    if A[i] == 'R' then return library().put(i) end
    local groups, id = tonumber(A[i]), take_ids(tonumber(A[i + 1]))
    local first = int(id)
    i = i + 2
    for _ = 1, groups do
        local q, prio, at, n = A[i], A[i + 1], tonumber(A[i + 2]), A[i + 3]
        n = tonumber(n)
        i = i + 4
        local ids, envelopes = {}, {}
        for k = 1, n do
            local name = int(id)
            id = id + 1
            ids[k] = name
            envelopes[2 * k - 1] = name
            envelopes[2 * k] = A[i]
            i = i + 1
        end
        many('HSET', T, envelopes)
        if at > now then
            local delayed = P .. ':d:' .. q
            for k = 1, n do
                call('ZADD', delayed, int(at),
                     ids[k] .. ' ' .. prio)
            end
            touch_due(at)
        else
            local list = P .. ':q:' .. q .. ':' .. prio
            if call('EXISTS', list) == 0 then
                call('ZADD', P .. ':p:' .. q, 0 - prio, prio)
            end
            many('RPUSH', list, ids)
            touch(q, n)
        end
    end
    return first
end

-- It waits again.
local function wait_again(q, id, attempt, failures, deaths, suspect, prio)
    call('HSET', C, id,
         pack(COUNTS, attempt, failures, deaths, suspect and 1 or 0, prio))
    call('ZADD', P .. (suspect and ':x:' or ':b:') .. q, 0 - prio, id)
    touch(q, 1)
    local r = rules_of(id)
    if r then library().moved(r, suspect and 'x' or 'b') end
end

local function drop_key(key)
    call('HDEL', P .. ':kv', key)
    call('ZREM', P .. ':kends', key)
    call('ZREM', P .. ':knames', key)
end

-- ---- results and who waits for them ----

local function keep_result(q, id, state, attempt, ttl_ms, body, reason)
    local ends = now + ttl_ms
    call('HSET', RES, id, pack(RESULT, state, attempt, now, #body, #q) .. q ..
         body .. reason)
    call('ZADD', P .. ':e:' .. q, int(ends), id)
    touch_due(ends)
end

local function drop_events(id)
    if call('ZREM', P .. ':ee', id) == 1 then call('DEL', P .. ':ev:' .. id) end
end

-- The queue of a stored result.
local function queue_of(result)
    local len = unpak('B', string.sub(result, 18, 18))
    return string.sub(result, 19, 18 + len)
end

local function drop_result(id)
    local result = call('HGET', RES, id)
    if result then
        call('HDEL', RES, id)
        call('ZREM', P .. ':e:' .. queue_of(result), id)
    end
    drop_events(id)
    return result
end

local function publish(who, text)
    return call('PUBLISH', P .. ':w:' .. who, text)
end

-- `is_over`: no more will come.  What the front here does not know of by
-- itself is also in the answer.
local function tell(ids, is_over)
    if #ids == 0 or call('EXISTS', W) == 0 then return end
    local watchers = call('HMGET', W, unpack(ids))
    for k, all in ipairs(watchers) do
        if all then
            for who in string.gmatch(all, '%x+') do
                if who ~= client then publish(who, 'N' .. ids[k]) end
            end
            if is_over then call('HDEL', W, ids[k]) end
        end
    end
end

-- A hash, as a table.
local function all_of(key)
    local list, all = call('HGETALL', key), {}
    for k = 1, #list, 2 do all[list[k]] = list[k + 1] end
    return all
end

local function tell_topic(topic)
    topics[#topics + 1] = topic
    tell({topic}, true)
end

-- It ends without a run, or after one that counts no more.
local function end_canceled(q, id, attempt, reason, ttl_ms)
    local r = rules_of(id)
    keep_result(q, id, 7, attempt, ttl_ms, '', reason)
    call('HDEL', T, id)
    call('HDEL', C, id)
    if r then library().ended(id, r, 7, '') end
end

-- ---- rules ----

-- What binds tasks to others: unique keys, limits (a key of a limit is a lane),
-- tasks that wait for others.  The meaning is that of memory_rules.c and
-- memory_lane.c.  Made when the first task with rules comes by, saved at the
-- end.
local function make_library()
    local M, tasks, lanes = {}, {}, {}
    local LANES, WAKES = P .. ':lanes', P .. ':wakes'
    local UNIQ, UENDS = P .. ':uniq', P .. ':uends'
    local clock = now * 1000
    local WORDS = {[5] = 'failed', [6] = 'expired', [7] = 'was canceled',
                   [8] = 'killed its process too often'}

    function M.get(id)
        if tasks[id] == nil then
            local packed = call('HGET', RULES, id)
            tasks[id] = packed and cmsgpack.unpack(packed) or false
        end
        return tasks[id]
    end

    local function lane_of(name)
        if lanes[name] == nil then
            local packed = call('HGET', LANES, name)
            lanes[name] = packed and cmsgpack.unpack(packed) or false
        end
        return lanes[name]
    end

    function M.save()
        for id, r in pairs(tasks) do
            if r then call('HSET', RULES, id, cmsgpack.pack(r)) end
        end
        for name, l in pairs(lanes) do
            if l then call('HSET', LANES, name, cmsgpack.pack(l)) end
        end
    end

    -- ---- places ----

    function M.moved(r, place)
        r.at = place
        r.x = place == 'x' or (place == 'd' and r.x)
    end

    local function make_ready(id, r)
        M.moved(r, r.x and 'x' or 'b')
        call('ZADD', P .. (r.x and ':x:' or ':b:') .. r.q, 0 - r.p, id)
        touch(r.q, 1)
    end

    local function put_in_place(id, r, at)
        if at > now then
            r.at = 'd'
            call('ZADD', P .. ':d:' .. r.q, int(at), id .. ' ' .. r.p)
            touch_due(at)
        else
            make_ready(id, r)
        end
    end

    function M.take(id, r)
        if r.at == 'a' then
            call('ZREM', P .. ':as:' .. r.aside, id)
            call('ZREM', P .. ':a:' .. r.q, id)
            r.aside = nil
        elseif r.at == 'd' then
            call('ZREM', P .. ':d:' .. r.q, id .. ' ' .. r.p)
        elseif r.at ~= 'r' then
            call('ZREM', P .. ':' .. r.at .. ':' .. r.q, id)
        end
    end

    -- ---- lanes ----

    local function set_wake(name, l, ms)
        if ms then
            call('ZADD', WAKES, int(ms), name)
            touch_due(ms)
        elseif l.wake then
            call('ZREM', WAKES, name)
        end
        l.wake = ms
    end

    local function aside_of(name) return call('ZCARD', P .. ':as:' .. name) end

    local function lane_get(name, max, interval, burst)
        local l = lane_of(name)
        if not l then
            l = {max = 0, full = 0, running = 0, refs = 0}
            lanes[name] = l
        end
        local wider = max == 0 or max > l.max
        l.max, l.interval, l.burst = max, interval, burst
        l.refs = l.refs + 1
        if wider and aside_of(name) > 0 then set_wake(name, l, now) end
    end

    local function lane_free(name, l)
        set_wake(name, l, nil)
        call('HDEL', LANES, name)
        lanes[name] = false
    end

    local function lane_put(name)
        local l = lane_of(name)
        if not l then return end
        l.refs = l.refs - 1
        if l.refs > 0 then return end
        if l.interval == 0 or l.full <= clock then
            lane_free(name, l)
        else
            set_wake(name, l, math.floor(l.full / 1000) + 1)
        end
    end

    local function has_room(l) return l.max == 0 or l.running < l.max end

    -- When `cost` starts may be taken, and when the bucket is full after.
    local function rate_take(l, cost, full)
        if l.interval == 0 then return clock, full end
        local bucket = l.burst * l.interval
        full = math.min(math.max(full, clock), clock + bucket) +
            math.min(cost, l.burst) * l.interval
        if full - clock > bucket then return full - bucket, nil end
        return clock, full
    end

    local function bring_back(name)
        local id = call('ZRANGE', P .. ':as:' .. name, 0, 0)[1]
        local r = M.get(id)
        M.take(id, r)
        make_ready(id, r)
    end

    local function kick(r)
        for k = 1, #r.lanes, 2 do
            local name = r.lanes[k]
            local l = name ~= r.aside and lane_of(name)
            if l and has_room(l) and aside_of(name) > 0 then
                bring_back(name)
            end
        end
    end

    -- When the lane lets it run: now, later, or nil: once another has ended.
    local function ask(name, cost, take)
        local l = lane_of(name)
        if not has_room(l) then return nil end
        local at, full = rate_take(l, cost, l.full)
        if at > clock then return math.ceil(at / 1000) end
        if take then
            l.running = l.running + 1
            l.full = full
        end
        return now
    end

    function M.enter(id, r)
        for k = 1, #r.lanes, 2 do
            local name = r.lanes[k]
            local at = ask(name, r.lanes[k + 1], false)
            if not at or at > now then
                local l = lane_of(name)
                M.take(id, r)
                r.at, r.aside = 'a', name
                call('ZADD', P .. ':as:' .. name, 0 - r.p, id)
                call('ZADD', P .. ':a:' .. r.q, 0 - r.p, id)
                if at and not (l.wake and l.wake <= at) then
                    set_wake(name, l, at)
                end
                kick(r)
                return false
            end
        end
        for k = 1, #r.lanes, 2 do ask(r.lanes[k], r.lanes[k + 1], true) end
        r.counted = true
        return true
    end

    function M.leave(_, r)
        if not r.counted then return end
        r.counted = nil
        for k = 1, #r.lanes, 2 do
            local l = lane_of(r.lanes[k])
            l.running = l.running - 1
        end
        kick(r)
    end

    function M.promote(limit)
        local count, nearest = 0, nil
        while true do
            local first = call('ZRANGE', WAKES, 0, 0, 'WITHSCORES')
            local name, at = first[1], tonumber(first[2])
            if not name then return count, nil end
            if at > now or count >= limit then return count, at end
            local l = lane_of(name)
            local full, from = l and l.full, clock
            if not l then
                call('ZREM', WAKES, name)
            elseif l.refs == 0 then
                lane_free(name, l)
            else
                set_wake(name, l, nil)
                local left = aside_of(name)
                while left > 0 and count < limit and from <= clock do
                    bring_back(name)
                    count = count + 1
                    left = left - 1
                    if left > 0 then
                        from, full = rate_take(l, 1, full)
                    end
                end
                if left > 0 and l.interval > 0 then
                    set_wake(name, l, from > clock and math.ceil(from / 1000)
                        or now + 1)
                end
            end
        end
    end

    -- ---- unique keys ----

    -- Who holds it, and until when.
    local function holder_of(key)
        local held = call('HGET', UNIQ, key)
        if not held then return nil end
        return string.sub(held, 1, 16), tonumber(string.sub(held, 18))
    end

    local function set_key(key, id, ms)
        call('HSET', UNIQ, key, id .. ' ' .. (ms > 0 and int(now + ms) or ''))
        if ms > 0 then
            call('ZADD', UENDS, int(now + ms), key)
            touch_due(now + ms)
        else
            call('ZREM', UENDS, key)
        end
    end

    local function free_key(id, r)
        if r.key and holder_of(r.key) == id then
            call('HDEL', UNIQ, r.key)
            call('ZREM', UENDS, r.key)
        end
        r.key = nil
    end

    function M.begin(id, r)
        r.at = 'r'
        if r.till == 2 then free_key(id, r) end
    end

    -- ---- ending ----

    local function leave_lanes(r)
        for k = 1, #r.lanes, 2 do lane_put(r.lanes[k]) end
        r.lanes = {}
    end

    local function forget(id)
        call('HDEL', RULES, id)
        call('DEL', P .. ':m:' .. id)
        tasks[id] = false
    end

    -- Upwards through all that end by it.
    local function joined(to, member, id, state, body)
        while true do
            local held = to and M.get(to)
            if not held or held.at ~= 'h' or
                call('HSETNX', P .. ':m:' .. to, member,
                     pack('>I8B', id, state) .. body) == 0 then
                return
            end
            held.left = held.left - 1
            if held.must and state ~= 4 then
                keep_result(held.q, to, 5, 0, 86400000, '', 'number ' ..
                    member .. ' of the tasks that it waited for ' ..
                    (WORDS[state] or 'ended'))
                tell_topic(to)
                call('HDEL', T, to)
                M.take(to, held)
                leave_lanes(held)
                forget(to)
                id, state, body = to, 5, ''
                to, member = held.joins, held.member
            else
                if held.left == 0 then
                    M.take(to, held)
                    put_in_place(to, held, held.due)
                end
                return
            end
        end
    end

    function M.ended(id, r, state, body)
        if r.counted then M.leave(id, r) else
            M.take(id, r)
            kick(r)
        end
        if r.till ~= 3 then free_key(id, r) end
        leave_lanes(r)
        forget(id)
        joined(r.joins, r.member, id, state, body)
    end

    function M.pass_on(r, to)
        local next_one = M.get(to)
        if not r.joins or not next_one then return end
        next_one.joins, next_one.member = r.joins, r.member
        r.joins = nil
    end

    -- ---- puts ----

    -- 23 of each: queue, priority, due, record, id or '', hold, member, unique,
    -- until, unique ms, replace, joins (1 + place, or 0), must succeed, and
    -- twice: key, running max, us between starts, burst, cost.
    local ITEM = 23

    local function check_ids(i, n)
        local last = next_id and next_id - 1 or
            tonumber(call('GET', P .. ':id') or 0)
        for k = 0, n - 1 do
            local id = A[i + k * ITEM + 4]
            if id ~= '' then
                if #id ~= 16 or tonumber(id) > last then return INVALID end
                if call('HEXISTS', T, id) == 1 then return EXISTS end
            end
        end
        return 0
    end

    local function limits_of(i, q)
        local list = {}
        for k = i + 13, i + 18, 5 do
            if A[k] ~= '' then
                local name = q .. '\0' .. A[k]
                lane_get(name, tonumber(A[k + 1]), tonumber(A[k + 2]),
                         tonumber(A[k + 3]))
                list[#list + 1] = name
                list[#list + 1] = tonumber(A[k + 4])
            end
        end
        return list
    end

    -- The put takes the place of `id`, if that one does not run yet.
    local function replace(id, r, i)
        local old = A[i + 10] == '1' and M.get(id)
        if not old or not string.find('bad', old.at, 1, true) then
            leave_lanes(r)
            return
        end
        set_key(r.key, id, tonumber(A[i + 9]))
        r.joins, r.member, r.n, r.left = old.joins, old.member, old.n, old.left
        M.take(id, old)
        leave_lanes(old)
        call('HSET', T, id, A[i + 3])
        local counts = call('HGET', C, id)
        if counts then
            local a, f, d, s = unpak(COUNTS, counts)
            call('HSET', C, id, pack(COUNTS, a, f, d, s, r.p))
        end
        tasks[id] = r
        put_in_place(id, r, r.due)
    end

    local function put_one(i, ids)
        local q, hold = A[i], tonumber(A[i + 5])
        local joins = ids[A[i + 11] * 2 - 1]
        local r = {q = q, p = tonumber(A[i + 1]), due = tonumber(A[i + 2]),
                   n = hold, left = hold, joins = joins or nil,
                   member = tonumber(A[i + 6]), must = A[i + 12] == '1',
                   till = tonumber(A[i + 8])}
        r.lanes = limits_of(i, q)
        if A[i + 7] ~= '' then
            r.key = q .. '\0' .. A[i + 7]
            local holder, ends = holder_of(r.key)
            if holder and (not ends or ends > now) then
                replace(holder, r, i)
                if joins then joined(joins, r.member, holder, 7, '') end
                return holder, 1
            end
        end
        local id = A[i + 4] ~= '' and A[i + 4] or int(take_ids(1))
        if r.key then set_key(r.key, id, tonumber(A[i + 9])) end
        call('HSET', T, id, A[i + 3])
        tasks[id] = r
        if hold > 0 then
            r.at = 'h'
            call('ZADD', P .. ':h:' .. q, int(math.max(r.due, 0)), id)
        else
            put_in_place(id, r, r.due)
        end
        return id, 0
    end

    -- {id, existed, ...}, or an error.
    function M.put(i)
        local n, ids = tonumber(A[i + 1]), {}
        local rc = check_ids(i + 2, n)
        if rc ~= 0 then return rc end
        there[RULES], there[WAKES] = true, nil
        for k = 0, n - 1 do
            local id, existed = put_one(i + 2 + k * ITEM, ids)
            ids[2 * k + 1], ids[2 * k + 2] = id, existed
        end
        return ids
    end

    return M
end

local made

library = function()
    made = made or make_library()
    return made
end

rules_of = function(id) return has(RULES) and library().get(id) end

-- The number after one of 20 digits.
local function after_of(digits)
    local head, nines = string.match(digits, '^(%d-)(9*)$')
    local last = string.sub(head, -1)
    return string.sub(head, 1, -2) .. (last + 1) .. string.rep('0', #nines)
end

-- ---- one batch, one step ----

local head = call('GETRANGE', memo_key, 0, 15)

-- It was done, and the answer did not come: give it again.
local function again()
    local memo = cmsgpack.unpack(string.sub(call('GET', memo_key), 17))
    memo[1] = now_us
    for k = 5, #memo do
        local answer = memo[k]
        if type(answer) == 'table' and answer[1] == 'rows' then
            local rows = {0, answer[2], answer[3], answer[4]}
            for j = 6, #answer, 2 do
                local m = #rows
                rows[m + 1], rows[m + 2] = answer[j], answer[j + 1]
                rows[m + 3] = call('HGET', T, answer[j]) or ''
            end
            memo[k] = rows
        elseif type(answer) == 'table' and answer[1] == 'took' then
            memo[k] = {unpack(answer, 4)}
        end
    end
    return memo
end

if head == seq then return again() end
if head ~= '' and tonumber(head) > tonumber(seq) then
    return redis.error_reply('STALE batch')
end

-- The answer of that one never came, or could not be used: what it claimed is
-- held by nobody, and who took a result does not have it.
if A[3] ~= '' and head == A[3] then
    local memo = cmsgpack.unpack(string.sub(call('GET', memo_key), 17))
    for k = 5, #memo do
        local answer = memo[k]
        if type(answer) == 'table' and answer[1] == 'rows' then
            local key = answer[5]
            for j = 6, #answer, 2 do
                local id = answer[j]
                local rec = call('HGET', key, id)
                if rec then
                    local a, f, d, s, p = unpak(HELD, rec)
                    local r = rules_of(id)
                    call('HDEL', key, id)
                    if r then library().leave(id, r) end
                    wait_again(string.sub(rec, 24), id, a - 1, f, d,
                               s % 2 == 1, p)
                end
            end
        elseif type(answer) == 'table' and answer[1] == 'took' then
            call('HSET', RES, answer[2], answer[4])
            call('ZADD', P .. ':e:' .. queue_of(answer[4]), answer[3],
                 answer[2])
        end
    end
end

local i = 6
local bytes = 0 -- of envelopes and results, in all answers
local writes = A[3] ~= ''
local out, light = {}, {}
local n_out = 4

while A[i] do
    local kind = A[i]
    i = i + 1
    n_out = n_out + 1
    local answer, memo
    if kind == 'F' then
        -- finish: owner, n, n ids, n attempts, then '0' (no result, no puts,
        -- no rules), or '1' (or '2' with rules, then pass on), state, ttl ms
        -- or '', body, reason, puts or '0'
        writes = true
        local owner, n = A[i], tonumber(A[i + 1])
        local R, at = P .. ':run:' .. owner, i + 2
        local recs = call('HMGET', R, unpack(A, at, at + n - 1))
        local seen, gone, bare = {}, {}, {}
        local n_gone, n_bare = 0, 0 -- '#' searches
        i = at + 2 * n
        answer = {}
        for k = 0, n - 1 do
            local id, rec = A[at + k], recs[k + 1]
            local holds = rec and not seen[id] and
                unpak('>I4', rec) == tonumber(A[at + n + k])
            local rc, first = holds and 0 or LOST, nil
            if A[i] == '0' then
                if holds then
                    n_bare = n_bare + 1
                    bare[n_bare] = id
                end
                i = i + 1
            else
                local r, pass_on = nil, false
                if A[i] == '2' then
                    pass_on = A[i + 1] == '1'
                    if holds then r = rules_of(id) end
                    i = i + 1
                end
                local state, ttl, body, reason =
                    A[i + 1], A[i + 2], A[i + 3], A[i + 4]
                local puts = i + 5
                if A[puts] == '0' then
                    i = puts + 1
                elseif holds then
                    local fits
                    fits, i = room(puts)
                    first = fits and put(puts) or LIMIT
                    if type(first) == 'number' then
                        rc, holds, first = first, false, nil
                    end
                else
                    i = skip_puts(puts)
                end
                if holds and state == '7' and reason == '' and has(CANCELED)
                then
                    reason = call('HGET', CANCELED, id) or ''
                end
                if holds and ttl ~= '' then
                    keep_result(string.sub(rec, 24), id, state,
                                unpak('>I4', rec), tonumber(ttl), body, reason)
                elseif holds then
                    n_bare = n_bare + 1
                    bare[n_bare] = id
                end
                if holds and r then
                    if pass_on and first and first[2] == 0 then
                        library().pass_on(r, first[1])
                    end
                    library().ended(id, r, tonumber(state), body)
                end
            end
            if holds then
                seen[id] = true
                n_gone = n_gone + 1
                gone[n_gone] = id
            end
            answer[k + 1] = first or rc
        end
        if n_gone > 0 then
            call('HDEL', R, unpack(gone))
            call('HDEL', T, unpack(gone))
            if has(CANCELED) then call('HDEL', CANCELED, unpack(gone)) end
            if n_bare > 0 and has(P .. ':ee') then
                for _, id in ipairs(bare) do drop_events(id) end
            end
            tell(gone, true)
        end
    elseif kind == 'C' then
        -- claim: queue, owner, max, alone
        writes = true
        local q, owner, max = A[i], A[i + 1], tonumber(A[i + 2])
        local alone = A[i + 3] == '1'
        i = i + 4
        if call('HEXISTS', OWNERS, owner) == 0 then
            answer = {LOST, 0, 0, 0}
        elseif has(P .. ':paused') and
            call('SISMEMBER', P .. ':paused', q) == 1 then
            answer = {0, 0, 0, 0}
        else
            local X, B, L = P .. ':x:' .. q, P .. ':b:' .. q, P .. ':p:' .. q
            local R = P .. ':run:' .. owner
            local n, given, aside = 4, 0, 0
            answer, memo = {0, 0, 0, call('EXISTS', P .. ':rv:' .. q)},
                {'rows', 0, 0, 0, R}
            local function give(ids, counts, prio)
                local envelopes = call('HMGET', T, unpack(ids))
                local set, m = {}, 0
                local text, rec
                if not counts then
                    local s = alone and max == 1 and 2 or 0
                    text = '1 0 0 0 ' .. prio
                    rec = pack(HELD, 1, 0, 0, s, prio, now) .. q
                end
                for k = 1, #ids do
                    local id, envelope = ids[k], envelopes[k]
                    if envelope then
                        if counts then
                            local a, f, d, s = 0, 0, 0, 0
                            if counts[k] then
                                a, f, d, s = unpak(COUNTS, counts[k])
                            end
                            a = a + 1
                            text = fmt('%d %d %d %d %d', a, f, d, s, prio)
                            local r = rules_of(id)
                            if r then
                                library().begin(id, r)
                                text = fmt('%s %d', text, r.n)
                            end
                            if alone and (s == 1 or max == 1) then s = s + 2 end
                            rec = pack(HELD, a, f, d, s, prio, now) .. q
                        end
                        answer[n + 1], answer[n + 2], answer[n + 3] =
                            id, text, envelope
                        n = n + 3
                        memo[given * 2 + 6], memo[given * 2 + 7] = id, text
                        set[m + 1], set[m + 2] = id, rec
                        m = m + 2
                        given = given + 1
                        bytes = bytes + #envelope
                    end
                end
                if m > 0 then call('HSET', R, unpack(set)) end
            end
            -- Of these, all that their limits let run.
            local function give_known(key, ids, prio)
                local let = ids
                if has(RULES) then
                    let = {}
                    for _, id in ipairs(ids) do
                        local r = rules_of(id)
                        if r and not library().enter(id, r) then
                            aside = aside + 1
                        else
                            let[#let + 1] = id
                        end
                    end
                end
                if #let == 0 then return end
                give(let, call('HMGET', C, unpack(let)), prio)
                call('HDEL', C, unpack(let))
                call('ZREM', key, unpack(let))
            end
            local suspects = call('ZCARD', X)
            while alone and suspects > 0 and given == 0 and aside < 1000 do
                local first = call('ZRANGE', X, 0, 0, 'WITHSCORES')
                give_known(X, {first[1]}, 0 - first[2])
                suspects = call('ZCARD', X)
            end
            if given == 0 then
                while given < max and bytes < 4194304 and aside < 1000 do
                    local want = math.min(max - given, 64)
                    local fresh = call('ZRANGE', L, 0, 0, 'WITHSCORES')
                    local back = call('ZRANGE', B, 0, 0, 'WITHSCORES')
                    local fs, bs = tonumber(fresh[2]), tonumber(back[2])
                    if not fs and not bs then break end
                    local list, ids, known = nil, {}, {}
                    if fs and not (bs and bs < fs) then
                        list = P .. ':q:' .. q .. ':' .. fresh[1]
                        ids = call('LRANGE', list, 0, want - 1)
                    end
                    if bs and not (fs and fs < bs) then
                        known = call('ZRANGEBYSCORE', B, bs, bs, 'LIMIT', 0,
                                     want)
                    end
                    -- Of one priority: in the order of their ids.
                    local a, b = 1, 1
                    while want > 0 and (ids[a] or known[b]) do
                        local from, to = a, b
                        local limit = known[b] and tonumber(known[b])
                        while want > 0 and ids[a] and
                            (not limit or tonumber(ids[a]) < limit) do
                            a = a + 1
                            want = want - 1
                        end
                        if a > from then
                            give({unpack(ids, from, a - 1)}, nil, 0 - fs)
                        end
                        limit = ids[a] and tonumber(ids[a])
                        while want > 0 and known[b] and
                            (not limit or tonumber(known[b]) < limit) do
                            b = b + 1
                            want = want - 1
                        end
                        if b > to then
                            give_known(B, {unpack(known, to, b - 1)}, 0 - bs)
                        end
                    end
                    if list then
                        call('LTRIM', list, a - 1, -1)
                        if call('EXISTS', list) == 0 then
                            call('ZREM', L, fresh[1])
                        end
                    end
                end
            end
            answer[2] = call('EXISTS', L, B)
            answer[3] = suspects > 0 and 1 or 0
            memo[2], memo[3] = answer[2], answer[3]
            if given > 0 then
                if answer[2] > 0 then touch(q, 1) end
                touch_due(now + 5000)
            end
        end
    elseif kind == 'P' then
        writes = true
        local at, fits = i, nil
        fits, i = room(at)
        answer = fits and put(at) or LIMIT
    elseif kind == 'R' then
        -- release: owner, id, attempt, delay ms, failed
        writes = true
        local R, id, delay, failed =
            P .. ':run:' .. A[i], A[i + 1], tonumber(A[i + 3]), A[i + 4] == '1'
        local rec = call('HGET', R, id)
        answer = LOST
        if rec and unpak('>I4', rec) == tonumber(A[i + 2]) then
            local a, f, d, s, p = unpak(HELD, rec)
            local q, suspect = string.sub(rec, 24), s % 2 == 1 and not failed
            local r = rules_of(id)
            local reason = has(CANCELED) and call('HGET', CANCELED, id)
            if failed then f = f + 1 end
            call('HDEL', R, id)
            answer = 0
            if reason then
                call('HDEL', CANCELED, id)
                end_canceled(q, id, a, reason, 86400000)
                tell({id}, true)
                answer = 1
            else
                if r then library().leave(id, r) end
                if delay > 0 then
                    call('HSET', C, id,
                         pack(COUNTS, a, f, d, suspect and 1 or 0, p))
                    call('ZADD', P .. ':d:' .. q, int(now + delay),
                         id .. ' ' .. p)
                    touch_due(now + delay)
                    if r then library().moved(r, 'd') end
                else
                    wait_again(q, id, a, f, d, suspect, p)
                end
            end
        end
        i = i + 5
    elseif kind == 'E' then
        -- event: owner, id, attempt, body
        writes = true
        local id = A[i + 1]
        local rec = call('HGET', P .. ':run:' .. A[i], id)
        answer = LOST
        if rec and unpak('>I4', rec) == tonumber(A[i + 2]) then
            local key, number = P .. ':ev:' .. id, 1
            local last = call('LINDEX', key, -1)
            if last then number = unpak('>I4', last) + 1 end
            if call('RPUSH', key, pack('>I4', number) .. A[i + 3]) > 256 then
                call('LTRIM', key, -256, -1)
            end
            call('ZADD', P .. ':ee', int(now + 86400000), id)
            touch_due(now + 86400000)
            tell({id}, false)
            answer = 0
        end
        i = i + 4
    elseif kind == 'N' then
        -- renew: owner, lease ms
        answer = {LOST}
        if call('HEXISTS', OWNERS, A[i]) == 1 then
            writes = true
            call('HSET', P .. ':leases', A[i], int(raw + A[i + 1]))
            answer = {0}
            for _, id in ipairs(has(CANCELED) and call('HKEYS', CANCELED) or {})
            do
                if call('HEXISTS', P .. ':run:' .. A[i], id) == 1 then
                    answer[#answer + 1] = id
                end
            end
        end
        i = i + 2
    elseif kind == 'O' then
        -- open an owner: lease ms, who
        writes = true
        answer = int(take_ids(1))
        call('HSET', OWNERS, answer, A[i + 1])
        call('HSET', P .. ':leases', answer, int(raw + A[i]))
        touch_due(0)
        i = i + 2
    elseif kind == 'X' then
        -- reap: owner, died, reason
        writes = true
        local owner, died, reason = A[i], A[i + 1] == '1', A[i + 2]
        local R = P .. ':run:' .. owner
        i = i + 3
        answer = {MISSING}
        if call('HDEL', OWNERS, owner) == 1 then
            local all, returned, dead = call('HGETALL', R), 0, {}
            call('HDEL', P .. ':leases', owner)
            for k = 1, #all, 2 do
                local id, rec = all[k], all[k + 1]
                local a, f, d, s, p = unpak(HELD, rec)
                local q, suspect = string.sub(rec, 24), s % 2 == 1 or died
                local r = rules_of(id)
                local canceled = has(CANCELED) and call('HGET', CANCELED, id)
                if r and not canceled then library().leave(id, r) end
                if died and s >= 2 then d = d + 1 end
                if canceled then
                    call('HDEL', CANCELED, id)
                    end_canceled(q, id, a, canceled, 86400000)
                    tell_topic(id)
                elseif died and d >= 3 then
                    if r then library().ended(id, r, 8, '') end
                    call('HSET', C, id, pack(COUNTS, a, f, d, 1, p))
                    call('ZADD', P .. ':dead:' .. q, int(now), id)
                    call('HSET', P .. ':reasons', id, reason)
                    keep_result(q, id, 8, a, 604800000, '', reason)
                    dead[#dead + 1] = id
                else
                    wait_again(q, id, a, f, d, suspect, p)
                    returned = returned + 1
                end
            end
            call('DEL', R)
            for name, topic in pairs(all_of(P .. ':lo:' .. owner)) do
                local lock = P .. ':lk:' .. name
                for token, holder in pairs(all_of(lock)) do
                    if string.match(holder, ' (%d+)$') == owner then
                        call('HDEL', lock, token)
                    end
                end
                tell_topic(topic)
            end
            call('DEL', P .. ':lo:' .. owner)
            tell(dead, true)
            answer = {0, returned, unpack(dead)}
        end
    elseif kind == 'D' then
        -- read: id, after, take
        local id, after, take = A[i], tonumber(A[i + 1]), A[i + 2] == '1'
        local members = A[i + 3] == '1'
        i = i + 4
        if bytes > 16777216 then
            answer, memo = 0, 0 -- ask again
        elseif members then
            answer, memo = call('HGETALL', P .. ':m:' .. id), 0
            for k = 2, #answer, 2 do bytes = bytes + #answer[k] end
        else
            answer = {call('HGET', RES, id) or ''}
            for _, event in ipairs(call('LRANGE', P .. ':ev:' .. id, 0, -1)) do
                if unpak('>I4', event) > after then
                    answer[#answer + 1] = event
                    bytes = bytes + #event
                end
            end
            bytes = bytes + #answer[1]
            memo = not take and 0
            if take and answer[1] ~= '' then
                writes = true
                memo = {'took', id, call('ZSCORE', P .. ':e:' ..
                    queue_of(answer[1]), id) or int(now), unpack(answer)}
                drop_result(id)
            end
        end
    elseif kind == 'M' then
        -- promote: limit
        local limit, all, nearest = tonumber(A[i]), {}, nil
        local queues = call('SMEMBERS', QUEUES)
        local let = 0
        i = i + 1
        if has(P .. ':wakes') then
            writes = true
            let, nearest = library().promote(limit)
        end
        for _, q in ipairs(queues) do
            local found = call('ZRANGEBYSCORE', P .. ':d:' .. q, '-inf',
                               int(now), 'WITHSCORES', 'LIMIT', 0, limit)
            for k = 1, #found, 2 do
                all[#all + 1] = {tonumber(found[k + 1]), found[k], q}
            end
        end
        table.sort(all, function(a, b)
            if a[1] ~= b[1] then return a[1] < b[1] end
            return tonumber(string.sub(a[2], 1, 16)) <
                tonumber(string.sub(b[2], 1, 16))
        end)
        local n = math.min(limit - let, #all)
        for k = 1, n do
            writes = true
            local q, id = all[k][3], string.sub(all[k][2], 1, 16)
            local prio = string.sub(all[k][2], 18)
            local counts = call('HGET', C, id)
            local suspect = counts and unpak('B', string.sub(counts, 13)) == 1
            call('ZREM', P .. ':d:' .. q, all[k][2])
            call('ZADD', P .. (suspect and ':x:' or ':b:') .. q, 0 - prio, id)
            touch(q, 1)
            local r = rules_of(id)
            if r then library().moved(r, suspect and 'x' or 'b') end
        end
        for _, q in ipairs(queues) do
            local first = call('ZRANGE', P .. ':d:' .. q, 0, 0, 'WITHSCORES')
            local at = tonumber(first[2])
            if at and not (nearest and nearest <= at) then nearest = at end
        end
        answer = {n + let, nearest or ''}
    elseif kind == 'S' then
        -- sweep: limit
        local left, count, nearest = tonumber(A[i]), 0, nil
        i = i + 1
        local function sweep(key, drop)
            local ended = call('ZRANGEBYSCORE', key, '-inf', int(now), 'LIMIT',
                               0, left)
            for _, id in ipairs(ended) do
                writes = true
                drop(id)
                left = left - 1
                count = count + 1
            end
            local first = call('ZRANGE', key, 0, 0, 'WITHSCORES')
            local at = tonumber(first[2])
            if at and not (nearest and nearest <= at) then nearest = at end
        end
        for _, q in ipairs(call('SMEMBERS', QUEUES)) do
            sweep(P .. ':e:' .. q, drop_result)
        end
        sweep(P .. ':ee', drop_events)
        sweep(P .. ':uends', function(key)
            call('HDEL', P .. ':uniq', key)
            call('ZREM', P .. ':uends', key)
        end)
        sweep(P .. ':kends', drop_key)
        answer = {count, nearest or ''}
    elseif kind == 'L' then
        -- owners: {owner, who, expired (2: a day ago), holds, ...}
        local all = call('HGETALL', OWNERS)
        answer, memo = {}, 0
        for k = 1, #all, 2 do
            local ends = call('HGET', P .. ':leases', all[k]) or 0
            local m = #answer
            answer[m + 1], answer[m + 2] = all[k], all[k + 1]
            answer[m + 3] = tonumber(ends) < raw - 86400000 and 2 or
                tonumber(ends) <= raw and 1 or 0
            answer[m + 4] = call('EXISTS', P .. ':run:' .. all[k])
        end
    elseif kind == 'U' then
        -- recurring: queue, generation (20 digits), n, then name, spec, zone,
        -- catch up, priority, envelope of each
        local q, generation, n = A[i], A[i + 1], tonumber(A[i + 2])
        i = i + 3
        if call('SISMEMBER', QUEUES, q) == 0 and
            call('SCARD', QUEUES) >= 255 then
            answer = LIMIT
        elseif generation < (call('HGET', P .. ':gen', q) or '') then
            answer = 1
        else
            writes = true
            local U, at, set = P .. ':u:' .. q, i, {}
            local all = all_of(U)
            call('SADD', QUEUES, q)
            for name, def in pairs(all) do
                all[name] = cmsgpack.unpack(def)
                if all[name][9] == 0 then call('HDEL', U, name) end
            end
            for _ = 1, n do
                local old, last, paused = all[A[at]], int(now), 0
                if old then
                    paused = old[8]
                    if old[1] == A[at + 1] and old[2] == A[at + 2] then
                        last = old[6]
                    end
                end
                if not old or old[9] == 0 then
                    set[#set + 1] = A[at]
                    set[#set + 1] = cmsgpack.pack({A[at + 1], A[at + 2],
                        A[at + 3], generation, A[at + 4], last, A[at + 5],
                        paused, 0})
                end
                at = at + 6
            end
            many('HSET', U, set)
            call('HSET', P .. ':gen', q, generation)
            touch_due(0)
            answer = 0
        end
        i = i + 6 * n
    elseif kind == 'V' then
        answer, memo = {}, 0
        for _, q in ipairs(call('SMEMBERS', QUEUES)) do
            local all = call('HGETALL', P .. ':u:' .. q)
            for k = 1, #all, 2 do
                local m, def = #answer, cmsgpack.unpack(all[k + 1])
                answer[m + 1], answer[m + 2] = q, all[k]
                for j = 1, 9 do answer[m + 2 + j] = def[j] end
            end
        end
    elseif kind == 'K' then
        -- tick: queue, name, generation, expected last, new last, puts or '0'
        local U, name = P .. ':u:' .. A[i], A[i + 1]
        local old, puts, fits = call('HGET', U, name), i + 5, true
        local def = old and cmsgpack.unpack(old)
        local generation, expect, last = A[i + 2], A[i + 3], A[i + 4]
        if A[puts] == '0' then
            i = puts + 1
        else
            fits, i = room(puts)
        end
        if not def then
            answer = MISSING
        elseif def[4] ~= generation or def[6] ~= expect or def[8] == 1 then
            answer = STATE
        elseif not fits then
            answer = LIMIT
        else
            writes = true
            answer = A[puts] == '0' and 0 or put(puts)
            if answer == 0 or type(answer) ~= 'number' then
                def[6] = last
                call('HSET', U, name, cmsgpack.pack(def))
            end
        end
    elseif kind == 'T' then
        local q = A[i]
        i = i + 1
        local waiting = call('ZCARD', P .. ':b:' .. q) +
            call('ZCARD', P .. ':x:' .. q) + call('ZCARD', P .. ':a:' .. q)
        for _, prio in ipairs(call('ZRANGE', P .. ':p:' .. q, 0, -1)) do
            waiting = waiting + call('LLEN', P .. ':q:' .. q .. ':' .. prio)
        end
        local running = 0
        for _, owner in ipairs(call('HKEYS', OWNERS)) do
            for _, rec in ipairs(call('HVALS', P .. ':run:' .. owner)) do
                if string.sub(rec, 24) == q then running = running + 1 end
            end
        end
        answer = {waiting, call('ZCARD', P .. ':d:' .. q), running,
                  call('ZCARD', P .. ':dead:' .. q),
                  call('ZCARD', P .. ':e:' .. q), call('HLEN', P .. ':u:' .. q),
                  call('ZCARD', P .. ':h:' .. q),
                  call('SISMEMBER', P .. ':paused', q)}
        memo = 0
    elseif kind == 'Y' then
        -- list: queue, state, offset, limit; {more, id, counts, envelope,
        -- reason, ...}
        local q, state = A[i], A[i + 1]
        local offset, limit = tonumber(A[i + 2]), tonumber(A[i + 3])
        local rows = {}
        i = i + 4
        local function add(id, counts, since, prio)
            local a, f, d, p = 0, 0, 0, prio
            if counts then
                local _
                a, f, d, _, p = unpak(COUNTS, counts)
            end
            rows[#rows + 1] = {id, a, f, d, tonumber(since), tonumber(p)}
        end
        if state == '1' then
            local last = offset + limit - 1
            for _, prio in ipairs(call('ZRANGE', P .. ':p:' .. q, 0, -1)) do
                local key = P .. ':q:' .. q .. ':' .. prio
                for _, id in ipairs(call('LRANGE', key, 0, last)) do
                    add(id, nil, 0, prio)
                end
            end
            for _, key in ipairs({P .. ':b:' .. q, P .. ':x:' .. q,
                                  P .. ':a:' .. q}) do
                local all = call('ZRANGE', key, 0, last, 'WITHSCORES')
                for k = 1, #all, 2 do
                    add(all[k], call('HGET', C, all[k]), 0, 0 - all[k + 1])
                end
            end
        elseif state == '2' or state == '8' or state == '9' then
            local key = P .. (state == '2' and ':d:' or state == '8' and
                ':dead:' or ':h:') .. q
            local all = call('ZRANGE', key, offset, offset + limit - 1,
                             'WITHSCORES')
            for k = 1, #all, 2 do
                local id = string.sub(all[k], 1, 16)
                local prio = state == '2' and string.sub(all[k], 18) or 0
                add(id, call('HGET', C, id), all[k + 1], prio)
            end
            offset = 0
        else
            for _, owner in ipairs(call('HKEYS', OWNERS)) do
                local all = call('HGETALL', P .. ':run:' .. owner)
                for k = 1, #all, 2 do
                    local a, f, d, _, p, since = unpak(HELD, all[k + 1])
                    if string.sub(all[k + 1], 24) == q then
                        rows[#rows + 1] = {all[k], a, f, d, since, p}
                    end
                end
            end
        end
        table.sort(rows, function(a, b)
            if state == '1' then
                if a[6] ~= b[6] then return a[6] > b[6] end
            elseif a[5] ~= b[5] then
                return a[5] < b[5]
            end
            return tonumber(a[1]) < tonumber(b[1])
        end)
        answer, memo = {0}, 0
        for k = offset + 1, math.min(offset + limit, #rows) do
            local row, m = rows[k], #answer
            if bytes > 4194304 then
                answer[1] = 1
                break
            end
            local envelope = call('HGET', T, row[1]) or ''
            bytes = bytes + #envelope
            answer[m + 1] = row[1]
            answer[m + 2] = fmt('%d %d %d %.0f %d', row[2], row[3], row[4],
                                row[5], row[6])
            answer[m + 3] = envelope
            answer[m + 4] = state == '8' and
                call('HGET', P .. ':reasons', row[1]) or ''
        end
    elseif kind == 'Z' then
        -- purge: queue, state
        local q, state, ids = A[i], A[i + 1], {}
        i = i + 2
        writes = true
        if state == '1' then
            for _, prio in ipairs(call('ZRANGE', P .. ':p:' .. q, 0, -1)) do
                local key = P .. ':q:' .. q .. ':' .. prio
                for _, id in ipairs(call('LRANGE', key, 0, -1)) do
                    ids[#ids + 1] = id
                end
                call('DEL', key)
            end
            for _, key in ipairs({P .. ':b:' .. q, P .. ':x:' .. q,
                                  P .. ':a:' .. q}) do
                for _, id in ipairs(call('ZRANGE', key, 0, -1)) do
                    ids[#ids + 1] = id
                end
                call('DEL', key)
            end
            call('DEL', P .. ':p:' .. q)
        else
            local key = P .. (state == '2' and ':d:' or state == '8' and
                ':dead:' or state == '9' and ':h:' or ':e:') .. q
            for _, id in ipairs(call('ZRANGE', key, 0, -1)) do
                ids[#ids + 1] = string.sub(id, 1, 16)
            end
            call('DEL', key)
        end
        answer = #ids
        if state == '4' then
            many('HDEL', RES, ids)
            for _, id in ipairs(ids) do drop_events(id) end
        else
            many('HDEL', T, ids)
            many('HDEL', C, ids)
            if state == '8' then many('HDEL', P .. ':reasons', ids) end
            for _, id in ipairs(has(RULES) and ids or {}) do
                local r = rules_of(id)
                if r then
                    library().take(id, r)
                    library().ended(id, r, 7, '')
                end
            end
        end
    elseif kind == 'W' then
        -- replay: queue, id or '0'
        local q, count, key = A[i], 0, P .. ':dead:' .. A[i]
        local ids = {A[i + 1]}
        if ids[1] == '0' then ids = call('ZRANGE', key, 0, -1) end
        i = i + 2
        for _, id in ipairs(ids) do
            if call('ZREM', key, id) == 1 then
                writes = true
                local a, _, _, _, p = unpak(COUNTS, call('HGET', C, id))
                call('HDEL', P .. ':reasons', id)
                drop_result(id)
                wait_again(q, id, a, 0, 0, true, p)
                count = count + 1
            end
        end
        answer = count
    elseif kind == 'I' then
        -- ids: n
        writes = true
        answer = int(take_ids(tonumber(A[i])))
        i = i + 1
    elseif kind == 'G' then
        -- cancel: id, reason, ttl ms; {rc, state, owner}
        local id, reason, ttl = A[i], A[i + 1], tonumber(A[i + 2])
        local task = call('HGET', T, id)
        local state, owner, attempt = 1, nil, 0
        i = i + 3
        answer = {MISSING, 1, '0'}
        if task then
            local len = unpak('B', task)
            local q = string.sub(task, 2, 1 + len)
            local prio = unpak('>h', string.sub(task, 2 + len, 3 + len))
            local r, counts = rules_of(id), call('HGET', C, id)
            if counts then attempt = unpak('>I4', counts) end
            if call('ZSCORE', P .. ':dead:' .. q, id) then
                state = nil
            elseif call('ZREM', P .. ':d:' .. q, id .. ' ' .. prio) == 1 then
                state = 2
            elseif call('ZREM', P .. ':h:' .. q, id) == 1 then
                state = 9
            elseif call('ZREM', P .. ':b:' .. q, id) == 0 and
                call('ZREM', P .. ':x:' .. q, id) == 0 and
                not (r and r.at == 'a') then
                for _, one in ipairs(call('HKEYS', OWNERS)) do
                    if call('HEXISTS', P .. ':run:' .. one, id) == 1 then
                        owner = one
                    end
                end
                local list = P .. ':q:' .. q .. ':' .. prio
                if not owner then call('LREM', list, 1, id) end
                if not owner and call('EXISTS', list) == 0 then
                    call('ZREM', P .. ':p:' .. q, prio)
                end
            end
            if state then
                writes = true
                answer = {0, owner and 3 or state, owner or '0'}
                if owner then
                    call('HSETNX', CANCELED, id, reason)
                    there[CANCELED] = true
                    tell({'o' .. owner}, false)
                else
                    end_canceled(q, id, attempt, reason, ttl)
                    tell_topic(id)
                end
            end
        end
    elseif kind == 'J' then
        -- pause: queue, or resume
        local q, PAUSED = A[i], P .. ':paused'
        if call('SISMEMBER', QUEUES, q) == 0 and
            call('SCARD', QUEUES) >= 255 then
            answer = LIMIT
        else
            writes = true
            answer = 0
            call('SADD', QUEUES, q)
            call(A[i + 1] == '1' and 'SADD' or 'SREM', PAUSED, q)
            there[PAUSED] = nil
            if A[i + 1] ~= '1' then
                local waiting = call('ZCARD', P .. ':b:' .. q) +
                    call('ZCARD', P .. ':x:' .. q)
                for _, prio in ipairs(call('ZRANGE', P .. ':p:' .. q, 0, -1)) do
                    waiting = waiting +
                        call('LLEN', P .. ':q:' .. q .. ':' .. prio)
                end
                if waiting > 0 then touch(q, waiting) end
            end
        end
        i = i + 2
    elseif kind == 'B' then
        -- revocation: verb, queue, key, until ms, once
        local verb, q, key = A[i], A[i + 1], A[i + 2]
        local V = P .. ':rv:' .. q
        local old = call('HGET', V, key)
        local ends = old and tonumber(string.match(old, '^%d+'))
        answer = 0
        if old and ends ~= 0 and ends <= now then
            writes = true
            call('HDEL', V, key)
            old = nil
        end
        if verb == '1' then
            if call('SISMEMBER', QUEUES, q) == 0 and
                call('SCARD', QUEUES) >= 255 then
                answer = LIMIT
            else
                writes = true
                call('SADD', QUEUES, q)
                call('HSET', V, key, A[i + 3] .. ' ' .. A[i + 4])
            end
        elseif old then
            answer = 1
            if verb == '2' or
                (verb == '4' and string.sub(old, -1) == '1') then
                writes = true
                call('HDEL', V, key)
            end
        end
        i = i + 5
    elseif kind == 'H' then
        -- key: verb, key, topic, value, ttl ms or '0', amount; {rc, value}
        local verb, key, ttl = A[i], A[i + 1], tonumber(A[i + 4])
        local KV, KENDS = P .. ':kv', P .. ':kends'
        local ends = tonumber(call('ZSCORE', KENDS, key) or nil)
        if ends and ends <= now then
            writes = true
            drop_key(key)
        end
        local old = call('HGET', KV, key)
        local changed = false
        answer = {0, ''}
        if verb == '1' or (verb == '2' and not old) then
            call('HSET', KV, key, A[i + 3])
            if old then call('ZREM', KENDS, key) end
            changed = true
        elseif verb == '2' then
            answer[1] = EXISTS
        elseif verb == '6' then
            local sum = redis.pcall('HINCRBY', KV, key, A[i + 5])
            if type(sum) == 'table' then
                answer[1] = STATE
            else
                answer[2] = call('HGET', KV, key)
                changed = true
                if old then ttl = 0 end
            end
        elseif not old then
            answer[1] = MISSING
        else
            if verb ~= '5' then answer[2] = old end
            if verb ~= '3' then
                writes = true
                drop_key(key)
            end
        end
        if changed then
            writes = true
            call('ZADD', P .. ':knames', 0, key)
            if ttl > 0 then
                call('ZADD', KENDS, int(now + ttl), key)
                touch_due(now + ttl)
            end
            tell_topic(A[i + 2])
        end
        memo = verb == '3' and 0
        i = i + 6
    elseif kind == 'A' then
        -- keys: prefix, after, limit; {more, key, value, ...}
        local prefix, after, left = A[i], A[i + 1], tonumber(A[i + 2])
        local from = '-'
        answer, memo = {0}, 0
        i = i + 3
        if prefix ~= '' then from = '[' .. prefix end
        -- Of the two bounds the later one counts.
        if after ~= '' and
            (prefix == '' or string.sub(after, 1, #prefix) == prefix) then
            from = '(' .. after
        end
        local size, page = 0, nil
        while left > 0 and answer[1] == 0 do
            page = call('ZRANGEBYLEX', P .. ':knames', from, '+', 'LIMIT', 0,
                        left)
            if #page == 0 then break end
            for _, key in ipairs(page) do
                local ends = tonumber(call('ZSCORE', P .. ':kends', key) or nil)
                from = '(' .. key
                if string.sub(key, 1, #prefix) ~= prefix then
                    left = 0
                    break
                elseif size > 4194304 then
                    answer[1] = 1
                    break
                elseif not ends or ends > now then
                    local value = call('HGET', P .. ':kv', key) or ''
                    size = size + #value
                    left = left - 1
                    answer[#answer + 1] = key
                    answer[#answer + 1] = value
                end
            end
        end
    elseif kind == 'Q' then
        -- lock: verb, name, topic, slots, owner, lease ms, token; {rc,
        -- holders, token, free in ms}
        local verb, name, topic = A[i], A[i + 1], A[i + 2]
        local lock, owner, token = P .. ':lk:' .. name, A[i + 4], A[i + 6]
        local n, first = 0, nil
        local lease = int(raw + A[i + 5]) .. ' ' .. owner
        for held, holder in pairs(all_of(lock)) do
            local ends = tonumber(string.match(holder, '^%d+'))
            if ends <= raw then
                writes = true
                call('HDEL', lock, held)
            else
                n = n + 1
                if not first or ends < first then first = ends end
            end
        end
        answer = {0, n, '0', 0}
        if verb == '1' then
            if call('HEXISTS', OWNERS, owner) == 0 then
                answer[1] = LOST
            elseif n >= tonumber(A[i + 3]) then
                answer[1], answer[4] = AGAIN, first - raw
            else
                writes = true
                token = int(take_ids(1))
                call('HSET', lock, token, lease)
                call('HSET', P .. ':lo:' .. owner, name, topic)
                answer = {0, n + 1, token, 0}
            end
        elseif verb == '2' or verb == '3' then
            local holder = call('HGET', lock, token)
            if not holder then
                answer[1] = LOST
            elseif verb == '2' then
                writes = true
                call('HSET', lock, token, int(raw + A[i + 5]) ..
                     string.match(holder, ' %d+$'))
            else
                writes = true
                call('HDEL', lock, token)
                local whose = string.match(holder, '%d+$')
                local has_more = false
                for _, other in pairs(all_of(lock)) do
                    has_more = has_more or string.match(other, '%d+$') == whose
                end
                if not has_more then
                    call('HDEL', P .. ':lo:' .. whose, name)
                end
                tell_topic(topic)
            end
        elseif verb == '5' then
            writes = true
            call('DEL', lock)
            tell_topic(topic)
        end
        i = i + 7
    elseif kind == 'u' then
        -- one defined at run time: queue, name, spec, zone, catch up, priority,
        -- envelope, paused, first generation
        local q, U, name = A[i], P .. ':u:' .. A[i], A[i + 1]
        local old = call('HGET', U, name)
        if call('SISMEMBER', QUEUES, q) == 0 and
            call('SCARD', QUEUES) >= 255 then
            answer = LIMIT
        else
            local last, generation = int(now), fmt('%020d', math.max(now, 1))
            writes = true
            answer = 0
            call('SADD', QUEUES, q)
            if old then
                old = cmsgpack.unpack(old)
                if old[1] == A[i + 2] and old[2] == A[i + 3] then
                    last = old[6]
                end
                if old[4] >= generation then generation = after_of(old[4]) end
            end
            call('HSET', U, name, cmsgpack.pack({A[i + 2], A[i + 3], A[i + 4],
                generation, A[i + 5], last, A[i + 6], tonumber(A[i + 7]), 1}))
            touch_due(0)
        end
        i = i + 8
    elseif kind == 'v' then
        -- drop or pause one: verb (d, p, r), queue, name
        local U, name = P .. ':u:' .. A[i + 1], A[i + 2]
        local def = call('HGET', U, name)
        answer = MISSING
        if def then
            writes = true
            answer = 0
            if A[i] == 'd' then
                call('HDEL', U, name)
            else
                def = cmsgpack.unpack(def)
                if def[8] == 1 and A[i] == 'r' then def[6] = int(now) end
                def[8] = A[i] == 'p' and 1 or 0
                call('HSET', U, name, cmsgpack.pack(def))
            end
            touch_due(0)
        end
        i = i + 3
    else
        return redis.error_reply('ERR guaco: an op of a newer version')
    end
    out[n_out] = answer
    light[n_out] = memo or answer
end

if made then made.save() end

-- ---- who must know ----

local touched = {}
for _, q in ipairs(names) do
    local wakes = not string.find(A[5], ',' .. q .. ',', 1, true)
    local n = #touched
    touched[n + 1], touched[n + 2], touched[n + 3] = q, ready[q], wakes and 1 or 0
    if wakes then
        local left = ready[q]
        while left > 0 do
            local who = call('SPOP', P .. ':idle:' .. q)
            if not who then break end
            if who ~= client and publish(who, 'T' .. q) > 0 then
                left = left - 1
            end
        end
    end
end
if due then
    local from = int(due)
    for _, who in ipairs(call('ZRANGEBYSCORE', P .. ':keepers', '(' .. from,
                              '+inf')) do
        if who ~= client then
            if publish(who, 'K' .. from) > 0 then
                call('ZADD', P .. ':keepers', from, who)
            else
                call('ZREM', P .. ':keepers', who)
            end
        end
    end
end
if next_id then call('SET', P .. ':id', int(next_id - 1)) end
out[1], out[2], out[3], out[4] = now_us, due or '', touched, topics
if writes then
    light[1], light[2], light[3], light[4] = out[1], out[2], touched, topics
    call('SET', memo_key, seq .. cmsgpack.pack(light), 'EX', 600)
end
return out
