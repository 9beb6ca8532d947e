---------------------------------------------------------------------------------------------------- logs
-- The logs of jobs whose claims end: what the settlements bring is written, and lives as long as what is kept of the
-- job. Expects what step.lua says of its call.

--@include log

-- Remove what a former job of this id has logged, and the oldest pieces where all attempts together take up too much.
local function shorten(key)
  local names = redis.pcall('HKEYS', key)
  if names.err or #names < 2 then return end
  local pieces = {}
  for _, name in ipairs(names) do
    local enqueued, started, last, size = string.match(name, '^(%d+) (%d+) %d+ (%d+) (%d+)$')
    pieces[#pieces + 1] = { name = name, enqueued = enqueued, started = tonumber(started or 0),
      last = tonumber(last or 0), size = tonumber(size or 0) }
  end
  table.sort(pieces, function(one, other)
    if one.started ~= other.started then return one.started > other.started end
    return one.last > other.last
  end)
  local total, gone = 0, {}
  for _, piece in ipairs(pieces) do
    total = total + piece.size
    if total > MOST_OF_LOG or piece.enqueued ~= pieces[1].enqueued then gone[#gone + 1] = piece.name end
  end
  remove_pieces(key, gone)
end

-- Return how long the log of a job stays, ms ('0' = for ever): as long as its dead letter, or else its record. Where
-- neither is kept, it goes with this call.
local function life_of(job)
  if job.kind == 'again' then return LIVE end
  if job.kind == 'dead' then return ms(retention) end
  return job.record == '' and '1' or job.record_ms
end

-- Keep what settlements bring. These are the first writes of a step, so a full Redis refuses them, and nothing else.
local function keep_logs(settled)
  local logged = {}
  for _, jobs in ipairs(settled) do
    for _, job in ipairs(jobs) do
      if job.log then
        job.log_key = LOG .. job.id
        logged[#logged + 1] = job
      end
    end
  end
  for _, job in ipairs(logged) do
    if not write_log(job.log_key, job.log) then break end
  end
  for _, job in ipairs(logged) do
    shorten(job.log_key)
    local life = life_of(job)
    if life == '0' then redis.pcall('PERSIST', job.log_key) else redis.pcall('PEXPIRE', job.log_key, life) end
  end
end
