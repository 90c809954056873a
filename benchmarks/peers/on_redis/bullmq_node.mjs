// BullMQ, the original in Node.

import { Queue, Worker } from "bullmq";

import { Peer, payload } from "../peer.mjs";
import { ran } from "../tally.mjs";

/** A worker that handles some jobs at once, and fetches the next as it completes one. */
export default class BullmqNode extends Peer {
    static packages = ["bullmq", "ioredis"];
    static settings = "defaults (finished jobs are kept)";
    static choices = ["10", "50", "200"];
    static jobs = 15_000;
    static hasBulk = true;

    async open() {
        this.queue = new Queue("bench", { connection: { url: this.url } });
        await this.queue.waitUntilReady();
    }

    async close() {
        await this.queue.close();
    }

    async add(number) {
        await this.queue.add("send", payload(number));
    }

    async addMany(numbers) {
        await this.queue.addBulk(
            numbers.map((number) => ({ name: "send", data: payload(number) })),
        );
    }

    /** Run a worker of that concurrency. */
    async work(choice) {
        // A worker may wait for its connection as long as it takes, which BullMQ asks for.
        const connection = { url: this.url, maxRetriesPerRequest: null };
        const worker = new Worker("bench", async (job) => ran(job.data.user_id), {
            connection,
            concurrency: Number(choice),
        });
        await worker.waitUntilReady();
    }
}
