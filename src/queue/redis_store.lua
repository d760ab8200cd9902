-- A batch of ops on the Redis store, as one step: what broker_redis.c sends.
-- The script is this file, redis_rules.lua and redis_batch.lua, one after the
-- other.
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
