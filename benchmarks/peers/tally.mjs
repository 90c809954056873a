// Who ran when, for handlers in Node: the file, the record and the clock of tally.py.

import { openSync, writeSync } from "node:fs";
import { devNull } from "node:os";

const VARIABLE = "JOBYARD_BENCHMARK_TALLY";

const file = openSync(process.env[VARIABLE] ?? devNull, "a", 0o600);
const record = Buffer.alloc(16);

/** Tell the nanosecond: on Linux both this and Python's `time.monotonic_ns` are CLOCK_MONOTONIC. */
export const now = () => process.hrtime.bigint();

/** Write down, in one call, that the handler of a job has started. */
export function ran(number) {
    record.writeBigInt64LE(BigInt(number), 0);
    record.writeBigInt64LE(now(), 8);
    writeSync(file, record);
}
