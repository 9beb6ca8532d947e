-- enqueue_once: put jobs on one queue, each unless the same request did so before.
--
-- KEYS  1 queue  2 wake  3 events, then the marker of each request, no two the same
-- ARGV  1 queue's name in events  2 entries of events to keep  3 life of a marker, ms, then the fingerprint of what each
--       request asks for, then for each the 9 values of a job that enqueue.lua takes
-- Returns for each { 0, marker } = an earlier request has left one: `<fingerprint> <1 = it made the job> <queue's name>
--         <id>`; or { 1, answer of enqueue.lua }.
--
-- Keeps true: a marker is written with its job, and never without. It is never changed. A request that is refused, as the
-- id or the unique key is taken, leaves none. If a command fails, nothing is put.

local queue, wake, events = KEYS[1], KEYS[2], KEYS[3]
local queue_name, keep_events, life = ARGV[1], ARGV[2], ARGV[3]
local may_reuse = true

--@include putting

local FIRST = 1 + #KEYS -- behind three arguments and a fingerprint for each marker
local told_before = redis.call('MGET', unpack(KEYS, 4))
local outcomes, is_any_new = {}, false
for number = 1, #told_before do is_any_new = is_any_new or not told_before[number] end

local function put_unless_before(at)
  local number = #outcomes + 1
  if told_before[number] then
    outcomes[number] = { 0, told_before[number] }
  else
    put_at(at)
    outcomes[number] = { 1, answers[#answers] }
  end
end

local remembered = {}

-- Write what a request was answered, unless it was a refusal. `at` is where the values of its job begin.
local function remember(number, at)
  local is_new, answer = unpack(outcomes[number])
  if is_new == 0 then return end
  local id, made = ARGV[at], 1
  if answer ~= 1 then
    if answer[1] == 0 and ARGV[at + 8] ~= 'existing' then return end
    id, made = answer[2], 0
  end
  local text = table.concat({ ARGV[3 + number], made, queue_name, id }, ' ')
  redis.call('SET', KEYS[3 + number], text, 'PX', life)
  remembered[#remembered + 1] = KEYS[3 + number]
end

local function remember_all()
  local is_done, problem = pcall(function()
    for number = 1, #outcomes do remember(number, FIRST + 9 * (number - 1)) end
  end)
  if not is_done then
    for _, marker in ipairs(remembered) do remove(marker) end
    raise(problem)
  end
end

if is_any_new then
  put_all(FIRST, #ARGV, put_unless_before, remember_all)
else
  for number, marker in ipairs(told_before) do outcomes[number] = { 0, marker } end
end
return outcomes
