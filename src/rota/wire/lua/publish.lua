-- publish: write the limits that jobs declare.
--
-- KEYS  the limits
-- ARGV  the figures of each
-- Returns 1.
--
-- Keeps true: all of them change in one step, also where Redis is full.

redis.call('PERSIST', KEYS[1]) -- a full Redis allows it, and what follows it
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i]) end
return 1
