-- The third part of the script of redis_store.lua: the ops.

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
                if r then
                    library().leave(id, r)
                    r.x = suspect
                end
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
