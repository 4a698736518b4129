package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/repository"
)

const password = "a password for benchmarks"

// contender is one of the two that are compared. It has a repository of its own.
type contender interface {
	// create makes the repository. It is not measured.
	create(ctx context.Context) error

	// backup takes a snapshot in a process of its own and returns its ID.
	backup(ctx context.Context, volume string) (usage, string, error)

	// restore writes a snapshot into an empty folder in a process of its own.
	restore(ctx context.Context, snapshotID, volume string) (usage, error)
}

// newContenders returns podkeep and plain kopia, with folders of their own below
// dir and repositories of their own.
func (b *bench) newContenders(dir string, at place) (podkeep *moverContender, plain *plainContender, err error) {
	moverAt, plainAt := at, at
	moverAt.Prefix, plainAt.Prefix = at.Prefix+"-podkeep", at.Prefix+"-plain"
	podkeep = &moverContender{binary: filepath.Join(b.binaries, "podkeep"), dir: filepath.Join(dir, "podkeep"), at: moverAt}
	plain = &plainContender{dir: filepath.Join(dir, "plain"), at: plainAt}
	if plain.binary, err = os.Executable(); err != nil {
		return nil, nil, err
	}
	return podkeep, plain, errors.Join(os.Mkdir(podkeep.dir, 0o700), os.Mkdir(plain.dir, 0o700))
}

// moverContender runs podkeep's mover as a node agent would, but outside of a pod.
type moverContender struct {
	binary string
	dir    string
	at     place
}

func (m *moverContender) create(ctx context.Context) error {
	for name, content := range map[string]string{"credentials": credentialsOf(m.at), "password": password} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return repository.Ensure(ctx, m.repository())
}

func credentialsOf(p place) string {
	return fmt.Sprintf("[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n", p.AccessKey, p.SecretKey)
}

func (m *moverContender) repository() wire.Repository {
	return wire.Repository{
		Location:     m.at.location(filepath.Join(m.dir, "credentials")),
		Namespace:    repositoryNamespace,
		PasswordFile: filepath.Join(m.dir, "password"),
		CacheDir:     filepath.Join(m.dir, "cache"),
	}
}

func (m *moverContender) backup(ctx context.Context, volume string) (usage, string, error) {
	u, result, err := m.run(ctx, wire.Task{
		Kind: wire.KindBackup, Name: "bench", UID: "bench", VolumePath: volume, Repository: m.repository(),
		Backup: &wire.Backup{SourcePath: "snapshot-pod-volume/kopia/bench/app-0/data", Identity: "claim/data"},
	})
	return u, result.SnapshotID, err
}

func (m *moverContender) restore(ctx context.Context, snapshotID, volume string) (usage, error) {
	u, _, err := m.run(ctx, wire.Task{
		Kind: wire.KindRestore, Name: "bench", UID: "bench", VolumePath: volume, Repository: m.repository(),
		Restore: &wire.Restore{SnapshotID: snapshotID, RestoreUID: "bench"},
	})
	return u, err
}

// The cache of a mover's pod (nodeagent/moverpod).
const (
	memoryDir    = "/dev/shm"
	cacheLimitMB = 512
)

// terminationLog is where the mover leaves its result for the kubelet.
const terminationLog = "/dev/termination-log"

// run gives the mover what its pod has: an empty cache in memory, each time.
func (m *moverContender) run(ctx context.Context, t wire.Task) (usage, wire.Result, error) {
	cache, err := os.MkdirTemp(memoryDir, "podkeep-bench-")
	if err != nil {
		return usage{}, wire.Result{}, err
	}
	defer os.RemoveAll(cache)
	t.Repository.CacheDir, t.Repository.CacheLimitMB = cache, cacheLimitMB
	argument, err := t.Argument()
	if err != nil {
		return usage{}, wire.Result{}, err
	}
	if _, err := os.Lstat(terminationLog); errors.Is(err, fs.ErrNotExist) {
		defer os.Remove(terminationLog)
	}
	cmd := exec.CommandContext(ctx, m.binary, "mover", argument)
	var lines bytes.Buffer
	cmd.Stdout = &lines
	u, err := measureProcess(cmd)
	result := lastResult(lines.Bytes())
	if err == nil && result == nil {
		err = wire.ErrNoResult
	}
	if err != nil {
		return u, wire.Result{}, fmt.Errorf("mover %s: %w: %s", t.Kind, err, lastBytes(lines.String(), 1000))
	}
	return u, *result, nil
}

// lastResult finds the result in what a mover printed.
func lastResult(lines []byte) *wire.Result {
	var result *wire.Result
	for line := range bytes.Lines(lines) {
		var m wire.Message
		if err := json.Unmarshal(line, &m); err == nil && m.Type == wire.MessageResult {
			result = m.Result
		}
	}
	return result
}

// plainContender runs this program as the yardstick.
type plainContender struct {
	binary string
	dir    string
	at     place
}

func (p *plainContender) create(ctx context.Context) error {
	_, _, err := p.run(ctx, plainTask{Do: plainCreate})
	return err
}

func (p *plainContender) backup(ctx context.Context, volume string) (usage, string, error) {
	return p.run(ctx, plainTask{Do: plainBackup, Volume: volume})
}

func (p *plainContender) restore(ctx context.Context, snapshotID, volume string) (usage, error) {
	u, _, err := p.run(ctx, plainTask{Do: plainRestore, SnapshotID: snapshotID, Volume: volume})
	return u, err
}

func (p *plainContender) run(ctx context.Context, t plainTask) (usage, string, error) {
	t.Place, t.Directory, t.Password = p.at, p.dir, password
	argument, err := json.Marshal(t)
	if err != nil {
		return usage{}, "", err
	}
	cmd := exec.CommandContext(ctx, p.binary, plainArgument, string(argument))
	var out bytes.Buffer
	cmd.Stdout = &out
	u, err := measureProcess(cmd)
	return u, out.String(), err
}
