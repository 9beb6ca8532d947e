---------------------------------------------------------------------------------------------------- calls
-- The calls of Redis: a table of the script's own, so that `whole` can note what they write.

local redis = { call = redis.call, pcall = redis.pcall, may = redis.acl_check_cmd }
