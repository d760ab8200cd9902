-- Who wants to be told, on the Redis store; see redis_store.lua.
--
-- KEYS[1]  {prefix}
-- ARGV     client, then for each notice its kind (T tasks, N a task, K a
--          keeper), + to be told, - no more, ! to tell another, and the queue,
--          the id or the time of the next look

local P, A, call = KEYS[1], ARGV, redis.call
local client = A[1]
local W = P .. ':watch'
if redis.replicate_commands then redis.replicate_commands() end

for i = 2, #A, 3 do
    local kind, what, of = A[i], A[i + 1], A[i + 2]
    if kind == 'T' and what == '!' then
        while true do
            local who = call('SPOP', P .. ':idle:' .. of)
            if not who then break end
            if who ~= client and
                call('PUBLISH', P .. ':w:' .. who, 'T' .. of) > 0 then
                break
            end
        end
    elseif kind == 'T' then
        call(what == '+' and 'SADD' or 'SREM', P .. ':idle:' .. of, client)
    elseif kind == 'K' and what == '+' then
        call('ZADD', P .. ':keepers', of, client)
    elseif kind == 'K' then
        call('ZREM', P .. ':keepers', client)
    else
        local all = call('HGET', W, of) or ''
        local others = string.gsub(all, client .. ' ', '')
        if what == '+' then others = others .. client .. ' ' end
        if others == '' then
            call('HDEL', W, of)
        elseif others ~= all then
            call('HSET', W, of, others)
        end
    end
end
return 0
