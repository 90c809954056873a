// A process of a peer in Node: `node play.mjs ENVIRONMENT STORE NAME ROLE URL OPTIONS`.
//
// It plays the roles of play.py, and answers in the same lines of JSON. What the peer itself says
// on its standard output goes to standard error.

import { readFileSync, readSync, writeSync } from "node:fs";
import { registerHooks } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [environment, store, name, role, url, options] = process.argv.slice(2);

const ANSWERS = 1;

const say = (facts) => writeSync(ANSWERS, `${JSON.stringify(facts)}\n`);

/** Say that all is ready; return when told to begin. */
function begin() {
    say({ ready: true });
    readSync(0, Buffer.alloc(1));
}

/** End with the reason on the last line, which is what the conductor shows. */
function fail(error) {
    process.stderr.write(`${error?.stack}\n${error}\n`);
    process.exit(1);
}

/** Find what an adapter imports by a package's name in the peer's environment. */
function importFromEnvironment() {
    const here = new URL(".", import.meta.url).href;
    const parentURL = pathToFileURL(join(environment, "play.mjs")).href;
    registerHooks({
        resolve(specifier, context, next) {
            const isPackage = !/^(\.|node:|file:)/.test(specifier);
            const isOurs = context.parentURL?.startsWith(here) ?? false;
            return next(specifier, isPackage && isOurs ? { ...context, parentURL } : context);
        },
    });
}

function versionOf(name) {
    const path = join(environment, "node_modules", name, "package.json");
    return JSON.parse(readFileSync(path, "utf8")).version;
}

/** Tell what belongs to the peer's figures. */
const describe = (peer) => ({
    versions: Object.fromEntries(peer.packages.map((name) => [name, versionOf(name)])),
    runtime: `Node ${process.versions.node}`,
    settings: peer.settings.trim().split(/\s+/).join(" "),
    choices: peer.choices,
    jobs: peer.jobs,
    bulk: peer.hasBulk,
});

const range = (first, jobs) => Array.from({ length: jobs }, (_, at) => first + at);

const ROLES = {
    /** Make a place ready. */
    async prepare(peer) {
        await peer.prepare();
        return {};
    },

    /** Add some numbers of jobs in the ways asked for, one after the other. */
    async add(peer, { ways, callers, bulk }) {
        const act = {
            one: (numbers) => peer.addOne(numbers),
            together: (numbers) => peer.addTogether(numbers, callers),
            bulk: (numbers) => peer.addBulk(numbers, bulk),
        };
        const seconds = {};
        let first = 0;
        for (const [way, jobs] of Object.entries(ways)) {
            seconds[way] = await act[way](range(first, jobs));
            first += jobs;
        }
        return { seconds };
    },

    /** Add many jobs in the fastest way there is. */
    async fill(peer, { jobs, bulk }) {
        const isBulk = peer.constructor.hasBulk;
        await (isBulk ? peer.addBulk(range(0, jobs), bulk) : peer.addOne(range(0, jobs)));
        return {};
    },

    /** Add a job now and then. */
    async call(peer, { first, jobs, pause }) {
        return { called: await peer.call(range(first, jobs), pause) };
    },

    /** Run a worker until killed. */
    async work(peer, { choice }) {
        await peer.work(choice);
        return new Promise(() => {});
    },
};

async function main() {
    importFromEnvironment();
    const { default: Found } = await import(`./on_${store}/${name}.mjs`);
    if (role === "describe") {
        say(describe(Found));
        return;
    }
    const peer = new Found(url);
    begin();
    say(await ROLES[role](peer, JSON.parse(options)));
    // A client that keeps a connection or a timer would keep the process too.
    process.exit();
}

process.stdout.write = process.stderr.write.bind(process.stderr);
process.on("uncaughtException", fail);
main().catch(fail);
