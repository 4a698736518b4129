package repository

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kopia/kopia/fs/localfs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/policy"
	"github.com/kopia/kopia/snapshot/upload"
	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
)

// clockedStorage dates blobs by the clock of the test.
type clockedStorage struct {
	blob.Storage
	now func() time.Time

	mu    sync.Mutex
	times map[blob.ID]time.Time // guarded by mu
}

func (s *clockedStorage) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	got := opts.GetModTime
	opts.GetModTime = nil
	if err := s.Storage.PutBlob(ctx, id, data, opts); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times[id] = s.now()
	if got != nil {
		*got = s.times[id]
	}
	return nil
}

func (s *clockedStorage) dated(m blob.Metadata) blob.Metadata {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Timestamp = s.times[m.BlobID]
	return m
}

func (s *clockedStorage) GetMetadata(ctx context.Context, id blob.ID) (blob.Metadata, error) {
	m, err := s.Storage.GetMetadata(ctx, id)
	return s.dated(m), err
}

func (s *clockedStorage) ListBlobs(ctx context.Context, prefix blob.ID, callback func(blob.Metadata) error) error {
	return s.Storage.ListBlobs(ctx, prefix, func(m blob.Metadata) error { return callback(s.dated(m)) })
}

// timeMachine is a repository at a time of the test's choice.
type timeMachine struct {
	*WithT
	repository wire.Repository
	storage    *clockedStorage
	now        time.Time

	interrupted bool // backups do not come to their end
}

func newTimeMachine(t *testing.T) *timeMachine {
	t.Helper()
	m := &timeMachine{WithT: NewWithT(t), now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	password := filepath.Join(t.TempDir(), "password")
	m.Expect(os.WriteFile(password, []byte("secret"), 0o600)).To(Succeed())
	m.repository = wire.Repository{
		Location: location.Location{
			Name: "default", Provider: location.ProviderFilesystem, Config: map[string]string{location.ConfigFilesystemPath: t.TempDir()},
		},
		Namespace: "shop", PasswordFile: password, CacheDir: t.TempDir(),
	}
	raw, err := newRawStorage(t.Context(), m.repository, true)
	m.Expect(err).NotTo(HaveOccurred())
	m.storage = &clockedStorage{Storage: raw, now: func() time.Time { return m.now }, times: map[blob.ID]time.Time{}}
	m.Expect(initialize(t.Context(), m.storage, m.repository)).To(Succeed())
	opened := m.open(t)
	m.Expect(setMaintenance(t.Context(), opened, 0)).To(Succeed())
	m.Expect(opened.Close(t.Context())).To(Succeed())
	return m
}

func (m *timeMachine) open(t *testing.T) *Repository {
	t.Helper()
	opened, err := open(t.Context(), opening{
		storage: newBoundedStorage(m.storage, time.Minute), repository: m.repository, purpose: ForWriting,
		now: func() time.Time { return m.now },
	})
	m.Expect(err).NotTo(HaveOccurred())
	return opened
}

// backUp takes a snapshot of one file with n random bytes.
func (m *timeMachine) backUp(t *testing.T, seed byte, n int) *snapshot.Manifest {
	t.Helper()
	dir := t.TempDir()
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	m.Expect(os.WriteFile(filepath.Join(dir, "data"), data, 0o600)).To(Succeed())
	entry, err := localfs.NewEntry(dir)
	m.Expect(err).NotTo(HaveOccurred())
	opened := m.open(t)
	defer func() { m.Expect(opened.Close(t.Context())).To(Succeed()) }()
	var saved *snapshot.Manifest
	m.Expect(repo.WriteSession(t.Context(), opened, repo.WriteSessionOptions{}, func(ctx context.Context, w repo.RepositoryWriter) error {
		source := snapshot.SourceInfo{Host: Host, UserName: User, Path: dir}
		if saved, err = upload.NewUploader(w).Upload(ctx, entry, policy.BuildTree(nil, policy.DefaultPolicy), source); err != nil {
			return err
		}
		if m.interrupted {
			saved.IncompleteReason = upload.IncompleteReasonCanceled
		}
		_, err = snapshot.SaveSnapshot(ctx, w, saved)
		return err
	})).To(Succeed())
	return saved
}

func (m *timeMachine) remove(t *testing.T, s *snapshot.Manifest) {
	t.Helper()
	opened := m.open(t)
	defer func() { m.Expect(opened.Close(t.Context())).To(Succeed()) }()
	m.Expect(repo.WriteSession(t.Context(), opened, repo.WriteSessionOptions{}, func(ctx context.Context, w repo.RepositoryWriter) error {
		return deleteSnapshot(ctx, w, s.ID)
	})).To(Succeed())
}

// maintain does what is due, a moment later than whatever was before.
func (m *timeMachine) maintain(t *testing.T) wire.Cycle {
	t.Helper()
	opened := m.open(t)
	defer func() { m.Expect(opened.Close(t.Context())).To(Succeed()) }()
	cycle, err := maintain(t.Context(), opened, m.now)
	m.Expect(err).NotTo(HaveOccurred())
	return cycle
}

func (m *timeMachine) bytes(t *testing.T) (total int64) {
	t.Helper()
	m.Expect(m.storage.Storage.ListBlobs(t.Context(), "", func(b blob.Metadata) error { total += b.Length; return nil })).To(Succeed())
	return total
}

// readable reads all of a snapshot.
func (m *timeMachine) readable(t *testing.T, s *snapshot.Manifest) {
	t.Helper()
	opened := m.open(t)
	defer func() { m.Expect(opened.Close(t.Context())).To(Succeed()) }()
	_, err := opened.VerifyObject(t.Context(), s.RootObjectID())
	m.Expect(err).NotTo(HaveOccurred())
}

// deletedBytes fill packs. What shares a pack of less than 12 MiB with other data is
// moved to a new one before it is dropped, each time, and so stays.
const deletedBytes = 45 << 20

// TestSpaceOfADeletedSnapshotIsFreed pins when that happens, which
// docs/backup-repository.md promises.
func TestSpaceOfADeletedSnapshotIsFreed(t *testing.T) {
	t.Parallel()
	m := newTimeMachine(t)
	gone, kept := m.backUp(t, 1, deletedBytes), m.backUp(t, 2, 1000)
	m.now = m.now.Add(25 * time.Hour)
	m.remove(t, gone)

	var cycles []wire.Cycle
	var sizes []int64
	for range 4 {
		m.now = m.now.Add(time.Hour)
		cycles = append(cycles, m.maintain(t))
		sizes = append(sizes, m.bytes(t))
		m.now = m.now.Add(2 * time.Hour)
		cycles = append(cycles, m.maintain(t))
		m.now = m.now.Add(22 * time.Hour)
	}

	m.Expect(cycles).To(Equal(slices.Repeat([]wire.Cycle{wire.CycleFull, wire.CycleQuick}, 4)))
	m.Expect(sizes[:2]).To(HaveEach(BeNumerically(">", deletedBytes)), "a backup that runs may still need it")
	m.Expect(sizes[3]).To(BeNumerically("<", 12<<20))
	m.readable(t, kept)
}

func TestWhatABackupNeedsAgainIsKept(t *testing.T) {
	t.Parallel()
	m := newTimeMachine(t)
	gone := m.backUp(t, 1, 5<<20)
	m.now = m.now.Add(25 * time.Hour)
	m.remove(t, gone)
	m.now = m.now.Add(time.Minute)
	m.maintain(t)
	m.now = m.now.Add(time.Minute)
	again := m.backUp(t, 1, 5<<20)

	for range 4 {
		m.now = m.now.Add(25 * time.Hour)
		m.maintain(t)
	}

	m.readable(t, again)
}

func TestAbandonedSnapshotsGo(t *testing.T) {
	t.Parallel()
	m := newTimeMachine(t)
	m.interrupted = true
	m.backUp(t, 1, 1000)
	m.now = m.now.Add(4 * 24 * time.Hour)
	m.backUp(t, 2, 1000)
	m.interrupted = false
	old := m.backUp(t, 3, 1000)
	m.now = m.now.Add(4 * 24 * time.Hour)

	m.maintain(t)

	m.Expect(m.snapshots(t)).To(HaveLen(2), "only the one that is a week old goes")
	m.now = m.now.Add(24 * 24 * time.Hour)
	m.maintain(t)
	m.Expect(m.snapshots(t)).To(ConsistOf(old.ID), "complete ones stay")
}

func (m *timeMachine) snapshots(t *testing.T) []manifest.ID {
	t.Helper()
	opened := m.open(t)
	defer func() { m.Expect(opened.Close(t.Context())).To(Succeed()) }()
	ids, err := snapshot.ListSnapshotManifests(t.Context(), opened, nil, nil)
	m.Expect(err).NotTo(HaveOccurred())
	return ids
}

func TestMaintenanceBelongsToOne(t *testing.T) {
	t.Parallel()
	m := newTimeMachine(t)
	m.now = m.now.Add(time.Minute)
	opened := m.open(t)
	params := maintenance.DefaultParams()
	params.Owner = "somebody@laptop"
	m.Expect(repo.WriteSession(t.Context(), opened, repo.WriteSessionOptions{}, func(ctx context.Context, w repo.RepositoryWriter) error {
		return maintenance.SetParams(ctx, w, &params)
	})).To(Succeed())
	m.Expect(opened.Close(t.Context())).To(Succeed())

	_, err := Maintain(t.Context(), m.repository, m.now)

	m.Expect(err).To(MatchError(ErrNotOwner))
	m.Expect(err).To(MatchError(ContainSubstring("somebody@laptop")))
	m.Expect(IsTerminal(err)).To(BeTrue())
}
