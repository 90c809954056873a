-- prepare: marks the namespace as made, by this layout of keys.
--
-- flags: none
-- include: step
-- Arguments: now, the version of the layout.
-- Result: the version that it has.
-- Effect: the version, if there is none.

call('HSETNX', yard, 'version', arg())
return call('HGET', yard, 'version')
