// plainjob, with better-sqlite3.

import Database from "better-sqlite3";
import { better, defineQueue, defineWorker } from "plainjob";

import { Peer, payload } from "../peer.mjs";
import { ran } from "../tally.mjs";

const silent = () => {};
const logger = { debug: silent, info: silent, warn: console.error, error: console.error };

/** A worker that takes one job after the other, each in a transaction, and then marks it done. */
export default class Plainjob extends Peer {
    static packages = ["plainjob", "better-sqlite3"];
    static settings = `
    WAL, synchronous=NORMAL as it sets them: it does not wait for the disk, and a power cut loses
    the latest commits; the SQLite of better-sqlite3; polls each 10 ms (1 s by default); logs only
    errors
  `;
    static choices = ["one"];
    static jobs = 15_000;
    static hasBulk = true;

    async open() {
        const database = new Database(this.url.replace("sqlite:///", ""));
        this.queue = defineQueue({ connection: better(database), logger });
    }

    async close() {
        this.queue.close();
    }

    async add(number) {
        this.queue.add("send", payload(number));
    }

    async addMany(numbers) {
        this.queue.addMany("send", numbers.map(payload));
    }

    /** Run a worker. */
    async work() {
        await this.open();
        const handle = async (job) => ran(JSON.parse(job.data).user_id);
        const how = { queue: this.queue, pollIntervall: 10, logger };
        await defineWorker("send", handle, how).start();
    }
}
