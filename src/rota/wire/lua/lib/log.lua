---------------------------------------------------------------------------------------------------- log
-- What handlers log, kept with their jobs: a hash of pieces for each job (see rota/wire/log/pieces.py). Nothing else
-- depends on it, so whatever fails here stops nothing.

--@include calls
--@include chunks

local LOG = 'arq:log:'
-- How long the log of a job that is not over is kept after its last line, ms: 7 days.
local LIVE = '604800000'
-- The most that is kept of all attempts of a job, bytes.
local MOST_OF_LOG = 262144

local function remove_pieces(key, names)
  each_chunk(names, function(...) redis.pcall('HDEL', key, ...) end)
end

-- Write pieces, which come as a line with the name and a line with the content; one without content is removed. Return
-- whether they could be written.
local function write_log(key, pieces)
  local new, gone = {}, {}
  for name, lines in string.gmatch(pieces, '([^\n]+)\n([^\n]*)\n') do
    if lines == '' then
      gone[#gone + 1] = name
    else
      new[#new + 1] = name
      new[#new + 1] = lines
    end
  end
  local answer = #new > 0 and redis.pcall('HSET', key, unpack(new))
  if type(answer) == 'table' and answer.err then return false end
  remove_pieces(key, gone)
  return true
end
