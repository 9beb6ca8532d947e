-- outbox: put the jobs of rows of an outbox on one queue, each row once, however often it is sent.
--
-- KEYS  1 queue  2 wake  3 events  4 marks of rows that were sent  5 birth mark  6 recording  7 the leader's last epoch
-- ARGV  1 queue's name in events  2 entries of events to keep  3 birth mark that the caller knows  4 epoch of the caller
--       5 life of the marks, ms  6 number of rows; then for each row the 9 values of a job that enqueue.lua takes; then
--       for each row its mark, and '' or, where it was sent before, the time at which its job was made, ms, as in its payload
-- Returns { 'reborn' } = this Redis is not the one that the caller knows, { 'unrecorded' } = nobody would record the end
--         of the jobs, { 'fenced' } = a later leader is at work; or { 'sent', then for each row the answer of enqueue.lua and the
--         time, ms, at which it was given: 1 = put, { 0, id }, { 2, id }, or 3 = the row's job is over }.
--
-- Keeps true: a row whose mark is there gets the answer that it got before, and nothing is changed. A row that was sent
-- before is put only if no live job has its id, and what is kept under the id is not of its own job. If a command fails,
-- nothing is put, and no mark is left.

local queue, wake, events, marks, birth, switch, last_epoch = unpack(KEYS)
local queue_name, keep_events, known, epoch, life, count = unpack(ARGV, 1, 6)
local may_reuse = true

--@include putting

-- Return the text in a key; nil where there is none.
local function text(key) return redis.call('MGET', key)[1] or nil end

if (tonumber(text(last_epoch) or '') or 0) > tonumber(epoch) then return { 'fenced' } end
if text(birth) ~= known then return { 'reborn' } end
if not text(switch) then return { 'unrecorded' } end

local FIRST, STRIDE = 7, 9
local rest = FIRST + STRIDE * count
local fields = {}
for at = rest, #ARGV, 2 do fields[#fields + 1] = ARGV[at] end
local found = redis.call('HMGET', marks, unpack(fields))
local given, new = { 'sent' }, {}

-- Tell whether what is kept under an id is of the job with this payload, made at this time.
local function is_over(id, payload, made)
  local record = text('arq:result:' .. id)
  if record then
    for number in string.gmatch(record, '"et":(%d+)') do
      if number == made then return true end
    end
  end
  return redis.call('HGET', queue .. ':dead:' .. id, 'payload') == payload
end

-- Answer for the row whose values begin at `at`.
local function put_row(at)
  local row = (at - FIRST) / STRIDE + 1
  local mark = found[row]
  local kind, at_ms, holder = string.match(mark or '', '^(%d) (%d+) ?(.*)$')
  local answer
  if kind then
    answer = (kind == '1' or kind == '3') and tonumber(kind) or { tonumber(kind), holder }
  else
    at_ms = now_ms
    local made = ARGV[rest + 2 * (row - 1) + 1]
    if made ~= '' and redis.call('EXISTS', 'arq:job:' .. ARGV[at]) == 0 and is_over(ARGV[at], ARGV[at + 1], made) then
      answer = 3
    else
      put_at(at)
      answer = answers[#answers]
    end
    new[#new + 1] = fields[row]
    new[#new + 1] = (type(answer) == 'table' and answer[1] or answer) .. ' ' .. now_ms
      .. (type(answer) == 'table' and ' ' .. answer[2] or '')
  end
  given[#given + 1] = answer
  given[#given + 1] = at_ms
end

check_right('HSET', marks)
put_all(FIRST, rest - 1, put_row, function()
  if #new > 0 then redis.call('HSET', marks, unpack(new)) end
end)
redis.pcall('PEXPIRE', marks, life)
return given
