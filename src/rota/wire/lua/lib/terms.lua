---------------------------------------------------------------------------------------------------- terms
-- What the scripts must know of a job beside its payload: one string of terms, by id, in the hash `<queue>:terms`.
--
--   p=<1-9>                                          its priority
--   r=<limit>|<key>|<interval, us>|<tolerance, us>   its rate limit
--   c=<limit>|<key>|<most>                           its concurrency limit: how many jobs of this key run at once
--   u=<unique key>|<s, f or 0>[|<rule>[|<ms>]]       the key that only it may hold until it has started or has finished,
--                                                    or (0) for a time; and what an enqueue of another job of that key
--                                                    does: existing, refuse, replace or debounce
--   w=<flow>|<stage>|<item>                          its place in a flow
--   i=1                                              its input lies in its flow
--   f=<flow>                                         the flow that it works for, without being one of its members
--   t=<tenant>                                       whose job it is
--   h=<webhook>                                      the webhook that is told of its end
--
-- Terms are separated by blanks; no value holds white space or `=`. The Redis key <limit> holds the limit's figures as
-- the workers last wrote them; the figures in the term count only where that key is gone.

-- Return the value of one term, or nil.
local function term(terms, letter) return string.match(terms, letter .. '=(%S+)') end

local function terms_of(queue, id) return redis.call('HGET', queue .. ':terms', id) end
