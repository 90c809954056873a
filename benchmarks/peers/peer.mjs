// What a peer in Node has to offer to be measured: peer.py says what each part means.

import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";

import { now } from "./tally.mjs";

const EMAIL = "user@example.com";

/** The payload of a job, the same for every peer in every language. */
export const payload = (number) => ({ user_id: number, email: EMAIL });

/** Time what is awaited, in seconds. */
async function timed(act) {
    const began = performance.now();
    await act();
    return (performance.now() - began) / 1000;
}

/**
 * A job queue on one store, set up as its authors recommend for many small jobs.
 *
 * Every job has `payload(number)`, and its handler calls `ran(number)` and nothing else.
 */
export class Peer {
    /** Whose versions belong to the result: the peer and its driver. */
    static packages = [];

    /** What differs from the peer's defaults, and what a reader should know of its promises. */
    static settings = "";

    /** The ways to run its worker that are tried; the fastest is measured. */
    static choices = [];

    /** How many jobs its worker drains: enough for a second or more. */
    static jobs = 0;

    /** Whether it has a call that adds many. */
    static hasBulk = false;

    constructor(url) {
        this.url = url;
    }

    /** Make an empty place ready: most do when they first connect. */
    async prepare() {
        await this.open();
        await this.close();
    }

    /** Get what adding needs. */
    async open() {}

    /** Let go of what adding needed. */
    async close() {}

    /** Add one call after the other; return the seconds that took. */
    addOne(numbers) {
        return this.#adding(async () => {
            for (const number of numbers) await this.add(number);
        });
    }

    /** Add from so many callers at once; return the seconds that took. */
    addTogether(numbers, callers) {
        const caller = async (first) => {
            for (let at = first; at < numbers.length; at += callers) await this.add(numbers[at]);
        };
        return this.#adding(() =>
            Promise.all(Array.from({ length: callers }, (_, at) => caller(at))),
        );
    }

    /** Add in calls of so many; return the seconds that took. */
    addBulk(numbers, bulk) {
        return this.#adding(async () => {
            for (let at = 0; at < numbers.length; at += bulk) {
                await this.addMany(numbers.slice(at, at + bulk));
            }
        });
    }

    /** Add a job now and then; return the nanosecond at which each add was called. */
    async call(numbers, pause) {
        const called = [];
        await this.open();
        for (const number of numbers) {
            await sleep(pause * 1000);
            called.push([number, Number(now())]);
            await this.add(number);
        }
        await this.close();
        return called;
    }

    async #adding(act) {
        await this.open();
        const seconds = await timed(act);
        await this.close();
        return seconds;
    }
}
