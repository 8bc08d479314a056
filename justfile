# One line of help each: `just --list`.

# Simulate and judge the scenario library
run *ARGS:
    cargo run --release -- run {{ARGS}}

# Everything that CI checks
check:
    bash .ci/run

# All tests
test *ARGS:
    cargo test {{ARGS}}

# Print one run's trace: just trace scenarios/k3s/first-boot.yaml 7
trace FILE SEED="1":
    cargo run --release -- trace {{FILE}} --seed {{SEED}}

# Run one seed twice, in two processes, and compare the traces
twice FILE SEED="1":
    cargo build --release
    cmp <(target/release/firstlight trace {{FILE}} --seed {{SEED}}) <(target/release/firstlight trace {{FILE}} --seed {{SEED}}) && echo same

# Simulation speed and decoder throughput; run on an otherwise idle machine
bench:
    cargo bench -p firstlight --bench simulation
    cargo bench -p firstlight-aggregator --bench decode

# CPU per tick and peak memory of any metrics-server: just bench-sut 'COMMAND'; ours if absent
bench-sut COMMAND="":
    scripts/bench-sut {{quote(COMMAND)}}

# Serve a scenario on loopback in real time, for kubectl
serve FILE *ARGS:
    cargo run --release -- serve {{FILE}} {{ARGS}}

# Review changed snapshots (needs cargo-insta)
review:
    cargo insta review
