-- The second part of the script of redis_store.lua: rules.

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

    -- The latest time at which anything of this was done.
    local function latest()
        return tonumber(call('GET', P .. ':latest') or 0)
    end

    function M.save()
        if now > latest() then call('SET', P .. ':latest', int(now)) end
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

    local function cost_of(r, name)
        return r.lanes[1] == name and r.lanes[2] or r.lanes[4]
    end

    -- Let the first one come back if the lane would let it run, as far as
    -- `full` says; and if that waits for an owner that is alone, the next too.
    -- Gives when it may (now: it came, or there was none; nil: once another has
    -- ended), `full` after it, and how many came.
    local function bring_back(name, l, full, count)
        while true do
            local id = call('ZRANGE', P .. ':as:' .. name, 0, 0)[1]
            if not id then return now, full, count end
            if not has_room(l) then return nil, full, count end
            local r = M.get(id)
            local at, after = rate_take(l, cost_of(r, name), full)
            if at > clock then return math.ceil(at / 1000), full, count end
            M.take(id, r)
            make_ready(id, r)
            count = count + 1
            if not r.x then return now, after, count end
        end
    end

    local function kick(r)
        for k = 1, #r.lanes, 2 do
            local name = r.lanes[k]
            local l = name ~= r.aside and lane_of(name)
            local at = l and bring_back(name, l, l.full, 0)
            if at and at > now and not (l.wake and l.wake <= at) then
                set_wake(name, l, at)
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

    -- What was to be looked at by a clock that was set back since, is looked
    -- at now.
    local function pull_wakes()
        for name in pairs(all_of(LANES)) do
            local l = lane_of(name)
            l.full = math.min(l.full, clock + l.burst * l.interval)
            if l.wake and l.wake > now then set_wake(name, l, now) end
        end
    end

    -- Those of a lane that may run by now, and when the next one may.
    local function wake_lane(name, l, limit, count)
        local full, at = l.full, now
        local room = l.max == 0 and limit or l.max - l.running
        set_wake(name, l, nil)
        if l.refs == 0 then
            l.refs = 1
            lane_put(name) -- gone, or waits to be full
            return count
        end
        local left = aside_of(name)
        while left > 0 and room > 0 and count < limit and at and at <= now do
            at, full, count = bring_back(name, l, full, count)
            left = aside_of(name)
            room = room - 1
        end
        -- Without room one that ends lets the next come back.
        if left > 0 and at and at > now then
            set_wake(name, l, at)
        elseif left > 0 and count >= limit then
            set_wake(name, l, now)
        end
        return count
    end

    function M.promote(limit)
        local count = 0
        if now < latest() then pull_wakes() end
        call('SET', P .. ':latest', int(now))
        while true do
            local first = call('ZRANGE', WAKES, 0, 0, 'WITHSCORES')
            local name, at = first[1], tonumber(first[2])
            if not name then return count, nil end
            if at > now or count >= limit then return count, at end
            local l = lane_of(name)
            if l then
                count = wake_lane(name, l, limit, count)
            else
                call('ZREM', WAKES, name)
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
        if not old or old.x or not string.find('bad', old.at, 1, true) then
            leave_lanes(r)
            return
        end
        set_key(r.key, id, tonumber(A[i + 9]))
        r.joins, r.member, r.n, r.left = old.joins, old.member, old.n, old.left
        M.take(id, old)
        kick(old) -- it may have had a turn
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
