-- A batch of ops on the Redis store, as one step: what broker_redis.c sends.
--
-- KEYS[1]  {prefix}; every key begins with it, so that all are in one slot
-- ARGV     client, number of the batch (16 digits), number of an earlier one
--          whose answer never came (or ''), shift of the clock in ms, queues
--          whose tasks this client's own workers may want (",a,b,"), the ops
--
-- Answers {time in us, due ms or '', {queue, count, ...}, an answer an op}.
--
-- An id is 16 digits: the time in us, or one more than the last.  So ids are
-- sorted as text, and a server that lost its last seconds gives none twice.
--
--   t         hash    id -> envelope, from the put until the task is no more
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

-- A number of up to 2^53 as text; '..' would round it.
local function int(x) return fmt('%d', x) end

-- ---- what the batch touched ----

local due
local ready, names = {}, {}

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
    i = i + 2
    for _ = 1, groups do
        local q = A[i]
        if not fresh[q] and call('SISMEMBER', QUEUES, q) == 0 then
            fresh[q] = true
            n = n + 1
            fresh[n] = q
        end
        i = i + 4 + A[i + 3]
    end
    if n > 0 then
        if call('SCARD', QUEUES) + n > 255 then return false, i end
        for k = 1, n do call('SADD', QUEUES, fresh[k]) end
    end
    return true, i
end

-- Puts: groups, total, then for each group queue, priority, due, count and the
-- envelopes.  Gives the first of their ids, which follow one another.
local function put(i)
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

-- ---- one batch, one step ----

local head = call('GETRANGE', memo_key, 0, 15)

-- It was done, and the answer did not come: give it again.
local function again()
    local memo = cmsgpack.unpack(string.sub(call('GET', memo_key), 17))
    memo[1] = now_us
    for k = 4, #memo do
        local answer = memo[k]
        if type(answer) == 'table' and answer[1] == 'rows' then
            local rows = {0, answer[2], answer[3]}
            for j = 5, #answer, 2 do
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
    for k = 4, #memo do
        local answer = memo[k]
        if type(answer) == 'table' and answer[1] == 'rows' then
            local key = answer[4]
            for j = 5, #answer, 2 do
                local id = answer[j]
                local rec = call('HGET', key, id)
                if rec then
                    local a, f, d, s, p = unpak(HELD, rec)
                    call('HDEL', key, id)
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
local n_out = 3

while A[i] do
    local kind = A[i]
    i = i + 1
    n_out = n_out + 1
    local answer, memo
    if kind == 'F' then
        -- finish: owner, n, n ids, n attempts, then '0' (no result, no puts)
        -- or '1', state, ttl ms or '', body, reason, puts
        writes = true
        local owner, n = A[i], tonumber(A[i + 1])
        local R, at = P .. ':run:' .. owner, i + 2
        local recs = call('HMGET', R, unpack(A, at, at + n - 1))
        local seen, gone, bare = {}, {}, {}
        i = at + 2 * n
        answer = {}
        for k = 0, n - 1 do
            local id, rec = A[at + k], recs[k + 1]
            local holds = rec and not seen[id] and
                unpak('>I4', rec) == tonumber(A[at + n + k])
            local rc, first = holds and 0 or LOST, nil
            if A[i] == '0' then
                if holds then bare[#bare + 1] = id end
                i = i + 1
            else
                local state, ttl, body, reason =
                    A[i + 1], A[i + 2], A[i + 3], A[i + 4]
                local puts, fits = i + 5, true
                if A[puts] == '0' then
                    i = puts + 1
                elseif holds then
                    fits, i = room(puts)
                    if fits then
                        first = put(puts)
                    else
                        rc, holds = LIMIT, false
                    end
                else
                    local groups = tonumber(A[puts])
                    i = puts + 2
                    for _ = 1, groups do i = i + 4 + A[i + 3] end
                end
                if holds and ttl ~= '' then
                    keep_result(string.sub(rec, 24), id, state,
                                unpak('>I4', rec), tonumber(ttl), body, reason)
                elseif holds then
                    bare[#bare + 1] = id
                end
            end
            if holds then
                seen[id] = true
                gone[#gone + 1] = id
            end
            answer[#answer + 1] = first or rc
        end
        if #gone > 0 then
            call('HDEL', R, unpack(gone))
            call('HDEL', T, unpack(gone))
            if #bare > 0 and call('EXISTS', P .. ':ee') == 1 then
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
            answer = {LOST, 0, 0}
        else
            local X, B, L = P .. ':x:' .. q, P .. ':b:' .. q, P .. ':p:' .. q
            local R = P .. ':run:' .. owner
            local n, given = 3, 0
            answer, memo = {0, 0, 0}, {'rows', 0, 0, R}
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
                            if alone and (s == 1 or max == 1) then s = s + 2 end
                            rec = pack(HELD, a, f, d, s, prio, now) .. q
                        end
                        answer[n + 1], answer[n + 2], answer[n + 3] =
                            id, text, envelope
                        n = n + 3
                        memo[given * 2 + 5], memo[given * 2 + 6] = id, text
                        set[m + 1], set[m + 2] = id, rec
                        m = m + 2
                        given = given + 1
                        bytes = bytes + #envelope
                    end
                end
                if m > 0 then call('HSET', R, unpack(set)) end
            end
            local function give_known(ids, prio)
                local counts = call('HMGET', C, unpack(ids))
                give(ids, counts, prio)
                call('HDEL', C, unpack(ids))
            end
            local suspects = call('ZCARD', X)
            if alone and suspects > 0 then
                local first = call('ZRANGE', X, 0, 0, 'WITHSCORES')
                call('ZREM', X, first[1])
                suspects = suspects - 1
                give_known({first[1]}, 0 - first[2])
            else
                local has_back = call('EXISTS', B) == 1
                while given < max and bytes < 4194304 do
                    local want = math.min(max - given, 64)
                    local fresh = call('ZRANGE', L, 0, 0, 'WITHSCORES')
                    local back = {}
                    if has_back then
                        back = call('ZRANGE', B, 0, 0, 'WITHSCORES')
                    end
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
                            give_known({unpack(known, to, b - 1)}, 0 - bs)
                        end
                    end
                    if b > 1 then call('ZREMRANGEBYRANK', B, 0, b - 2) end
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
            if failed then f = f + 1 end
            call('HDEL', R, id)
            if delay > 0 then
                call('HSET', C, id, pack(COUNTS, a, f, d, suspect and 1 or 0, p))
                call('ZADD', P .. ':d:' .. q, int(now + delay), id .. ' ' .. p)
                touch_due(now + delay)
            else
                wait_again(q, id, a, f, d, suspect, p)
            end
            answer = 0
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
        answer = LOST
        if call('HEXISTS', OWNERS, A[i]) == 1 then
            writes = true
            call('HSET', P .. ':leases', A[i], int(raw + A[i + 1]))
            answer = 0
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
                if died and s >= 2 then d = d + 1 end
                if died and d >= 3 then
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
            tell(dead, true)
            answer = {0, returned, unpack(dead)}
        end
    elseif kind == 'D' then
        -- read: id, after, take
        local id, after, take = A[i], tonumber(A[i + 1]), A[i + 2] == '1'
        i = i + 3
        if bytes > 16777216 then
            answer, memo = 0, 0 -- ask again
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
        i = i + 1
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
        local n = math.min(limit, #all)
        for k = 1, n do
            writes = true
            local q, id = all[k][3], string.sub(all[k][2], 1, 16)
            local prio = string.sub(all[k][2], 18)
            local counts = call('HGET', C, id)
            local suspect = counts and unpak('B', string.sub(counts, 13)) == 1
            call('ZREM', P .. ':d:' .. q, all[k][2])
            call('ZADD', P .. (suspect and ':x:' or ':b:') .. q, 0 - prio, id)
            touch(q, 1)
        end
        for _, q in ipairs(queues) do
            local first = call('ZRANGE', P .. ':d:' .. q, 0, 0, 'WITHSCORES')
            local at = tonumber(first[2])
            if at and not (nearest and nearest <= at) then nearest = at end
        end
        answer = {n, nearest or ''}
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
            call('SADD', QUEUES, q)
            for _ = 1, n do
                local old, last = call('HGET', U, A[at]), int(now)
                if old then
                    old = cmsgpack.unpack(old)
                    if old[1] == A[at + 1] and old[2] == A[at + 2] then
                        last = old[6]
                    end
                end
                set[#set + 1] = A[at]
                set[#set + 1] = cmsgpack.pack({A[at + 1], A[at + 2],
                    A[at + 3], generation, A[at + 4], last, A[at + 5]})
                at = at + 6
            end
            call('DEL', U)
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
                for j = 1, 7 do answer[m + 2 + j] = def[j] end
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
        elseif def[4] ~= generation or def[6] ~= expect then
            answer = STATE
        elseif not fits then
            answer = LIMIT
        else
            writes = true
            def[6] = last
            call('HSET', U, name, cmsgpack.pack(def))
            answer = A[puts] == '0' and 0 or put(puts)
        end
    elseif kind == 'T' then
        local q = A[i]
        i = i + 1
        local waiting = call('ZCARD', P .. ':b:' .. q) +
            call('ZCARD', P .. ':x:' .. q)
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
                  call('ZCARD', P .. ':e:' .. q), call('HLEN', P .. ':u:' .. q)}
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
            for _, key in ipairs({P .. ':b:' .. q, P .. ':x:' .. q}) do
                local all = call('ZRANGE', key, 0, last, 'WITHSCORES')
                for k = 1, #all, 2 do
                    add(all[k], call('HGET', C, all[k]), 0, 0 - all[k + 1])
                end
            end
        elseif state == '2' or state == '8' then
            local key = P .. (state == '2' and ':d:' or ':dead:') .. q
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
            for _, key in ipairs({P .. ':b:' .. q, P .. ':x:' .. q}) do
                for _, id in ipairs(call('ZRANGE', key, 0, -1)) do
                    ids[#ids + 1] = id
                end
                call('DEL', key)
            end
            call('DEL', P .. ':p:' .. q)
        else
            local key = P .. (state == '2' and ':d:' or state == '8' and
                ':dead:' or ':e:') .. q
            for _, id in ipairs(call('ZRANGE', key, 0, -1)) do
                ids[#ids + 1] = string.sub(id, 1, 16)
            end
            call('DEL', key)
        end
        if state == '4' then
            many('HDEL', RES, ids)
            for _, id in ipairs(ids) do drop_events(id) end
        else
            many('HDEL', T, ids)
            many('HDEL', C, ids)
            if state == '8' then many('HDEL', P .. ':reasons', ids) end
        end
        answer = #ids
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
    else
        return redis.error_reply('ERR guaco: an op of a newer version')
    end
    out[n_out] = answer
    light[n_out] = memo or answer
end

-- ---- who must know ----

local touched = {}
for _, q in ipairs(names) do
    touched[#touched + 1] = q
    touched[#touched + 1] = ready[q]
    if not string.find(A[5], ',' .. q .. ',', 1, true) then
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
out[1], out[2], out[3] = now_us, due or '', touched
if writes then
    light[1], light[2], light[3] = out[1], out[2], touched
    call('SET', memo_key, seq .. cmsgpack.pack(light), 'EX', 600)
end
return out
