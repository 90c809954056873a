// Graphile Worker.

import { Logger, makeWorkerUtils, run } from "graphile-worker";

import { Peer, payload } from "../peer.mjs";
import { ran } from "../tally.mjs";

/** The batching of its page on performance: jobs are locked and completed hundreds at once. */
const BATCHES = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };

const LOUD = new Set(["error", "warning"]);

const logger = new Logger(() => (level, message) => {
    if (LOUD.has(level)) console.error(message);
});

/** A pool of tasks that is notified of new jobs; each job has a handler call of its own. */
export default class GraphileWorker extends Peer {
    static packages = ["graphile-worker", "pg"];
    static settings = `
    logs only warnings; "batches" is the configuration of its page on performance (localQueue of
    500, completeJobBatchDelay 0): what a worker has locked when it is killed waits four hours, as
    by default; a completed job is deleted; adds through add_job and add_jobs
  `;
    static choices = ["single 24", "batches 24", "batches 100"];
    static jobs = 25_000;
    static hasBulk = true;

    async open() {
        this.utils = await makeWorkerUtils({ connectionString: this.url, logger });
    }

    async close() {
        await this.utils.release();
    }

    async prepare() {
        await this.open();
        await this.utils.migrate();
        await this.close();
    }

    async add(number) {
        await this.utils.addJob("send", payload(number));
    }

    async addMany(numbers) {
        const jobs = numbers.map((number) => ({ identifier: "send", payload: payload(number) }));
        await this.utils.addJobs(jobs);
    }

    /** Run a worker of that concurrency, in batches or not. */
    async work(choice) {
        const [way, count] = choice.split(" ");
        const concurrentJobs = Number(count);
        const worker = {
            connectionString: this.url,
            concurrentJobs,
            maxPoolSize: concurrentJobs + 2,
            logger,
            ...(way === "batches" ? BATCHES : {}),
        };
        const taskList = { send: async ({ user_id }) => ran(user_id) };
        await run({ preset: { worker }, taskList });
    }
}
