// pg-boss.

import { PgBoss } from "pg-boss";

import { Peer, payload } from "../peer.mjs";
import { ran } from "../tally.mjs";

/** A worker that fetches a batch, gives it to one call of the handler, and settles it at once. */
export default class PgBossPeer extends Peer {
    static packages = ["pg-boss", "pg"];
    static settings = `
    a batch of the size named is one call of the handler, completes as one, and fails as one;
    the next is fetched at once while batches are full (burstWhenBatchFull), else each 0.5 s, its
    least; LISTEN and NOTIFY on, which are off by default: without them an add is cheaper, and
    starts a quarter of a second later
  `;
    static choices = ["100", "1000"];
    static jobs = 40_000;
    static hasBulk = true;

    async open() {
        this.boss = new PgBoss({ connectionString: this.url, useListenNotify: true });
        await this.boss.start();
    }

    async close() {
        await this.boss.stop({ graceful: false });
    }

    async prepare() {
        await this.open();
        await this.boss.createQueue("send", { notify: true });
        await this.close();
    }

    async add(number) {
        await this.boss.send("send", payload(number));
    }

    async addMany(numbers) {
        await this.boss.insert(
            "send",
            numbers.map((number) => ({ data: payload(number) })),
        );
    }

    /** Run a worker with batches of that size. */
    async work(choice) {
        await this.open();
        const how = {
            batchSize: Number(choice),
            pollingIntervalSeconds: 0.5,
            burstWhenBatchFull: true,
        };
        await this.boss.work("send", how, async (jobs) => {
            for (const job of jobs) ran(job.data.user_id);
        });
    }
}
