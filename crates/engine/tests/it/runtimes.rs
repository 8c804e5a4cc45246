//! The programs that people run, with everything on that keeps instances apart. What the machine
//! does not have is passed over, and says so.

use std::path::Path;

use engine::Driver;

use crate::rig::{Rig, is_root};

const NODE: &str = "
const { Worker } = require('worker_threads'); const { execSync } = require('child_process');
new Worker('require(\"worker_threads\").parentPort.postMessage(1)', { eval: true }).on('message', () => {
  require('dns').lookup('localhost', () => require('http').createServer().listen(0, function () {
    console.log(execSync('echo', ['x']).length, process.constrainedMemory()); this.close(); }));
});";

const PYTHON: &str = "
import asyncio, multiprocessing, ssl, sqlite3, subprocess, tempfile, threading
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), '0.0.0.0', 0)
    process = await asyncio.create_subprocess_exec('true')
    assert await process.wait() == 0
    server.close()
if __name__ == '__main__':
    asyncio.run(main())
    with multiprocessing.get_context('fork').Pool(2) as pool: assert pool.map(abs, [-1]) == [1]
    sqlite3.connect('/tmp/x.db').execute('create table t (x)')
    print('python works')";

const POSTGRES: &str = "set -e
export PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -1):$PATH LC_ALL=C
initdb -D /tmp/pg -A trust -U me >/dev/null
pg_ctl -D /tmp/pg -w -l /tmp/pg.log -o '-k /tmp' start >/dev/null
psql -h /tmp -U me -d postgres -Atc 'create table t as select generate_series(1, 1000) x; select sum(x) from t'
pg_ctl -D /tmp/pg -w -m fast stop >/dev/null";

const REDIS: &str = "set -e
redis-server --port 7000 --dir /tmp --save '60 1' >/tmp/log & server=$!
until redis-cli -p 7000 ping 2>/dev/null; do sleep 0.05; done
redis-cli -p 7000 set key value; redis-cli -p 7000 save; redis-cli -p 7000 shutdown nosave || true
wait $server";

#[tokio::test(flavor = "multi_thread")]
async fn runtimes_and_databases_work_and_see_their_limits() {
    if !is_root() {
        return;
    }
    let rig = Rig::new();
    const MEMORY: u64 = 384 << 20;
    let java = "java -XshowSettings:system -version 2>&1 | grep -i 'memory limit'";
    for (program, command, expected) in [
        ("/usr/bin/node", vec!["node", "-e", NODE], format!(" {MEMORY}")),
        ("/usr/bin/java", vec!["sh", "-c", java], "384.00M".to_owned()),
        ("/usr/bin/python3", vec!["python3", "-c", PYTHON], "python works".to_owned()),
        ("/usr/lib/postgresql", vec!["sh", "-c", POSTGRES], "500500".to_owned()),
        ("/usr/bin/redis-server", vec!["sh", "-c", REDIS], "PONG\nOK\nOK".to_owned()),
    ] {
        if !Path::new(program).exists() {
            println!("passed over: {program} is not here");
            continue;
        }
        let mut spec = rig.spec(&command);
        spec.limits.memory_bytes = Some(MEMORY);
        spec.limits.pids = Some(512);
        spec.limits.disk_bytes = Some(1 << 30);
        let exit = rig.run(&spec).await;
        let output = rig.output(&spec.id);
        assert!(exit.is_success() && output.contains(&expected), "{program}: {exit:?}\n{output}");
        rig.driver().remove(&spec.id).await.unwrap();
    }
}
