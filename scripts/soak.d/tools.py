"""Applications that run and end: interpreters, compilers, git, sqlite."""
import os

from application import Application

SQL = """
create table words (id integer primary key, word text, number integer);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)
insert into words select i, 'word ' || (i * 7919 % 1009), i * 31 % 997 from n;
create index by_word on words(word);
select count(distinct word), sum(number) from words;
select word, count(*), group_concat(number % 7) from words group by word order by 2 desc, 1 limit 5;
update words set word = upper(word) where number % 3 = 0;
delete from words where number % 5 = 0;
vacuum;
select json_group_array(word) from (select word from words order by id limit 20);
pragma integrity_check;
"""
NODE = """
const { Worker, isMainThread, parentPort } = require('worker_threads');
const crypto = require('crypto'), http = require('http'), zlib = require('zlib'), { execFileSync } = require('child_process');
if (!isMainThread) { parentPort.postMessage(crypto.createHash('sha256').update('worker').digest('hex')); process.exit(); }
const big = Array.from({ length: 50000 }, (_, i) => ({ id: i, name: `item ${i % 101}`, buffer: Buffer.alloc(64, i) }));
console.log(crypto.createHash('sha256').update(JSON.stringify(big)).digest('hex'), zlib.gzipSync(Buffer.alloc(1 << 20, 'abc')).length);
console.log(execFileSync('cat', { input: 'a child' }).toString());
const workers = Array.from({ length: 4 }, () => new Promise(done => new Worker(__filename).on('message', done)));
const server = http.createServer((_, answer) => answer.end('x'.repeat(20000))).listen(0, '127.0.0.1', async () => {
  let bytes = 0;
  for (let i = 0; i < 200; i++) bytes += (await (await fetch(`http://127.0.0.1:${server.address().port}/`)).text()).length;
  console.log(bytes, await Promise.all(workers));
  server.closeAllConnections(); server.close();
});
"""
JAVA = """
import java.nio.ByteBuffer; import java.util.*; import java.util.concurrent.*; import java.util.stream.*;
public class Soak {
  public static void main(String[] a) throws Exception {
    var pool = Executors.newFixedThreadPool(8); var parts = new ArrayList<Future<Long>>();
    for (int t = 0; t < 32; t++) { int seed = t; parts.add(pool.submit(() -> {
      var random = new Random(seed); var map = new HashMap<Integer, String>();
      for (int i = 0; i < 20000; i++) map.put(random.nextInt(5000), "v" + random.nextInt());
      var direct = ByteBuffer.allocateDirect(1 << 16); direct.putLong(0, map.hashCode()); return direct.getLong(0); })); }
    long sum = 0; for (var part : parts) sum += part.get(); pool.shutdown(); System.out.println(sum);
    var deflater = new java.util.zip.Deflater(); deflater.setInput(new byte[1 << 20]); deflater.finish();
    System.out.println(deflater.deflate(new byte[1 << 16])); deflater.end();
    var child = new ProcessBuilder("cat").start(); child.getOutputStream().write("a child".getBytes()); child.getOutputStream().close();
    System.out.println(new String(child.getInputStream().readAllBytes()) + child.waitFor());
  }
}
"""
RUBY = """
require 'json'; require 'digest'; require 'set'; require 'zlib'
data = (0...40_000).map { |i| { id: i, name: "item #{i % 101}", tags: [i.to_s, 'b'] } }
puts Digest::SHA256.hexdigest(JSON.generate(data)), Zlib::Deflate.deflate('abc' * 100_000).bytesize
puts data.group_by { |d| d[:name] }.transform_values(&:size).sort.first(3).inspect
puts 4.times.map { |t| Thread.new { (1..20_000).map { |i| "t#{t} #{i}" }.to_set.size } }.map(&:value).inspect
reader, writer = IO.pipe
fork { writer.write(Array.new(1000) { |i| "child #{i}" }.join.length.to_s) }
Process.wait; writer.close; puts reader.read, `echo from a shell`
"""
PERL = r"""
use strict; use warnings; my %count; my @kept;
for my $i (1 .. 60000) { my $word = 'word' . ($i * 7919 % 1009); $count{$word}++; push @kept, [$i, $word, { n => $i }] if $i % 3 == 0; }
print scalar(keys %count), ' ', scalar(@kept), ' ', (join ',', (sort keys %count)[0 .. 4]), "\n";
my $text = join ' ', map { $_->[1] } @kept; my $matches = () = $text =~ /word(\d)\1/g; print "$matches\n";
my $pid = fork; if (!$pid) { print 'child ', length(join '', map { "x$_" } 1 .. 5000), "\n"; exit 3 } waitpid $pid, 0; print $? >> 8, "\n";
print `echo from a shell`; print sort { $a cmp $b } map { sprintf "%s\n", $_ } grep { $count{$_} > 59 } keys %count;
"""
PHP = """<?php $all = []; for ($i = 0; $i < 60000; $i++) $all[] = ['id' => $i, 'name' => "item " . ($i % 101)];
echo hash('sha256', json_encode($all)), "\n", preg_match_all('/item (\\d)\\1/', json_encode($all)), "\n", shell_exec('echo from a shell');
usort($all, fn($a, $b) => [$a['name'], $b['id']] <=> [$b['name'], $a['id']]); echo json_encode(array_slice($all, 0, 3)), "\n";
"""
CPP = """
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <vector>
int main() {
  std::map<std::string, std::vector<std::unique_ptr<int>>> all;
  for (int i = 0; i < 20000; i++) all["word" + std::to_string(i % 331)].push_back(std::make_unique<int>(i));
  std::vector<std::thread> threads; std::vector<size_t> sums(4);
  for (int t = 0; t < 4; t++) threads.emplace_back([&, t] { for (auto &[word, list] : all) if (std::regex_search(word, std::regex("1$"))) sums[t] += list.size(); });
  for (auto &thread : threads) thread.join();
  std::cout << all.size() << ' ' << sums[0] + sums[3] << '\\n';
}
"""
RUST = """
use std::collections::BTreeMap;
fn main() {
    let mut words: BTreeMap<String, Vec<Box<usize>>> = BTreeMap::new();
    for i in 0..50_000 { words.entry(format!("word {}", i * 7919 % 1009)).or_default().push(Box::new(i)); }
    let threads: Vec<_> = (0..4).map(|t| { let words = words.clone(); std::thread::spawn(move || words.values().map(|v| v.len() * t).sum::<usize>()) }).collect();
    println!("{} {:?}", words.len(), threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>());
}
"""


def script(command, name, text, *options):
    """An interpreter with a script."""

    def run(stage):
        stage.run(command, *options, stage.write(name, text))

    return run


def sqlite(stage):
    stage.run("sqlite3", "soak.db", data=SQL)
    stage.run("sqlite3", "soak.db", ".dump", "select total(number) from words")


def git(stage):
    who = {"GIT_CONFIG_NOSYSTEM": "1"}
    for when in ("GIT_AUTHOR", "GIT_COMMITTER"):
        who |= {f"{when}_NAME": "soak", f"{when}_EMAIL": "soak@localhost", f"{when}_DATE": "2024-01-01T00:00:00Z"}

    def git(*words, **options):
        stage.run("git", *words, env=who, **options)

    git("init", "-q", "-b", "main", "here")
    for number in range(12):
        for file in range(30):
            stage.write(f"here/file{file}", "".join(f"line {line * (number + file) % 97}\n" for line in range(200 + number)))
        git("-C", "here", "add", ".")
        git("-C", "here", "commit", "-q", "-m", f"commit {number}")
    git("-C", "here", "log", "--stat", "--format=%H %s", "-n", "3")
    git("-C", "here", "blame", "-s", "file3")
    git("-C", "here", "grep", "-c", "line 5$")
    git("-C", "here", "gc", "-q", "--aggressive", quiet=True)
    git("-C", "here", "fsck", "--full", "--no-progress")
    git("clone", "-q", "--no-local", "here", "there")
    git("-C", "there", "diff", "HEAD~5", "--stat")


def cxx(stage):
    stage.write("soak.cpp", CPP)
    stage.run("g++", "-std=c++17", "-O2", "-g", "-Wall", "-pipe", "-o", "soak", "soak.cpp", "-pthread")
    stage.run("g++", "-std=c++17", "-E", "soak.cpp")
    stage.run(stage.path("soak"))


def rustc(stage):
    stage.write("soak.rs", RUST)
    toolchains = os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup"))  # of the user's home, not the stage's
    stage.run("rustc", "--edition", "2021", "-O", "-g", "soak.rs", env={"RUSTUP_HOME": toolchains})
    stage.run(stage.path("soak"))


def java(stage):
    stage.write("Soak.java", JAVA)
    stage.run("javac", "Soak.java")
    stage.run("java", "-Xmx256m", "Soak")


def shell(stage):
    stage.write("list", "".join(f"{n * 7919 % 10007} word{n % 89}\n" for n in range(20000)))
    stage.run("bash", "-c", "sort -k2,2 -k1,1n list | uniq -c | awk '{s+=$2} END {print NR, s}'; grep -c word7 list")
    stage.run("bash", "-c", "for i in {1..30}; do x=$(echo $i | sed s/1/one/); echo ${x^^}; done; tar --mtime=@0 -cf - list | gzip -n | sha256sum")
    stage.run("sh", "-c", "find . -name 'l*' | xargs ls | wc -l; (exit 3); echo $?")


APPLICATIONS = [
    Application("sqlite3", ["sqlite3"], sqlite, ["sqlite3"], processes=2),
    Application("node", ["node"], script("node", "soak.js", NODE), ["nodejs"], processes=2),
    Application("java", ["java", "javac"], java, ["default-jdk-headless"], processes=3),
    Application("ruby", ["ruby"], script("ruby", "soak.rb", RUBY), ["ruby"], processes=2),
    Application("perl", ["perl"], script("perl", "soak.pl", PERL), ["perl"], processes=2),
    Application("php", ["php"], script("php", "soak.php", PHP), ["php-cli"], processes=2, deep=True),
    Application("git", ["git"], git, ["git"], processes=36),
    Application("g++", ["g++"], cxx, ["g++"], processes=8),
    Application("rustc", ["rustc"], rustc, processes=2),
    Application("shell", ["bash", "awk", "tar"], shell, processes=30),
]
