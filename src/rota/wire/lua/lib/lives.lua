---------------------------------------------------------------------------------------------------- keys with a life
-- Keys of many jobs that live for the same time. Redis 8.4 and Valkey 9.1 write them by one command, which takes 6 % less of
-- a step; an older server, and one that refuses the command to this user, gets one command for each key.

--@include calls

local writes_many -- nil until that is known

local function can_write_many()
  if writes_many == nil then
    -- Of a command that the server does not know, this is an error; before Redis 7 the question itself is one.
    local is_known, may = pcall(redis.may, 'MSETEX', '2', 'arq:in-progress:', '', 'arq:result:', '', 'PX', '1')
    writes_many = is_known and may
  end
  return writes_many
end

-- Write a key for each of some jobs, with this field of the job as its value, that lives for a time, ms.
local function write_all(prefix, jobs, field, life)
  if #jobs > 1 and #jobs <= 1000 and can_write_many() then
    local list = { #jobs }
    for i, job in ipairs(jobs) do list[2 * i], list[2 * i + 1] = prefix .. job.id, job[field] end
    list[2 * #jobs + 2], list[2 * #jobs + 3] = 'PX', life
    redis.call('MSETEX', unpack(list))
  else
    for _, job in ipairs(jobs) do redis.call('SET', prefix .. job.id, job[field], 'PX', life) end
  end
end
