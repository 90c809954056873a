-- A job's member in sorted sets: its number as five bytes, its flags as a byte, and its id. Equal
-- scores order by number. Flags are a byte from 128 on; without any there is none, where the id does
-- not begin with such a byte itself.
--
-- An id of ours, a UUID of 32 lower-case hexadecimal digits, is its 16 bytes here; the ninth of them
-- is none that stands in an id of somebody else's. As it is spelled it stands where a line is made
-- of it: in a record's parents, in events, in answers that are lines.

local LIFO, TTL, KEEP_COMPLETED, DROP, KEEP_FAILED, WISHES = 1, 2, 4, 8, 16, 32
local FIRST = 128 -- what the flags are added to
local BLOCK = 256

local function has(flags, flag)
    return math.floor(flags / flag) % 2 == 1
end

local function flags_of(member)
    return math.max(string.byte(member, 6) - FIRST, 0)
end

local function id_of(member)
    return string.sub(member, string.byte(member, 6) < FIRST and 6 or 7)
end

local function number_of(member)
    local a, b, c, d, e = string.byte(member, 1, 5)
    return (((a * 256 + b) * 256 + c) * 256 + d) * 256 + e
end

-- A whole number below 2^40 as five bytes, the greatest first.
local function five_bytes(value)
    local high, low = math.floor(value / 2 ^ 24), value % 2 ^ 24
    return string.char(math.floor(high / 256), high % 256, math.floor(low / 65536),
        math.floor(low / 256) % 256, low % 256)
end

local function flagged(flags, id)
    if flags == 0 and string.byte(id) < FIRST then
        return id
    end
    return string.char(FIRST + flags) .. id
end

local function member_of(job_number, flags, id)
    return five_bytes(job_number) .. flagged(flags, id)
end

local BAND, MIDDLE = 2 ^ 43, 2 ^ 42
local LAST_INSTANT = 2 ^ 42 - 1

-- The place in the claim order. Scores stay below 2^53, where doubles are exact; a LIFO job has
-- the lower half of its priority's band, its due and number turned round.
local function line_score(priority, due, lifo)
    local band = (100 - priority) * BAND
    due = math.min(due, LAST_INSTANT)
    return text(lifo and band + LAST_INSTANT - due or band + MIDDLE + due)
end

local function line_member(member)
    if has(flags_of(member), LIFO) then
        return five_bytes(2 ^ 40 - 1 - number_of(member)) .. string.sub(member, 6)
    end
    return member
end
