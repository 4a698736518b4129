package sync

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/podkeep/podkeep/internal/layout"
)

// maxUnusable bounds how many backups are remembered; more are read at each sync.
const maxUnusable = 1000

// unusable remembers backups whose files are broken, or are refused, so that they
// are not read at each sync: one may be made to cost as much as it can. It is no
// state: after a restart they are read once more.
type unusable struct {
	mu    sync.Mutex // guards known
	known map[unusableKey]unusableFiles
}

type unusableKey struct {
	location types.UID
	backup   string
}

// unusableFiles are the problems of files of these versions.
type unusableFiles struct {
	versions fileVersions
	problems []problem
}

// fileVersions are those of the files that a sync reads; "" is a file that is not
// there.
type fileVersions struct{ metadata, volumes string }

// find returns the problems that a backup has as long as its files have these
// versions.
func (u *unusable) find(key unusableKey, versions fileVersions) ([]problem, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()

	f, ok := u.known[key]
	return f.problems, ok && f.versions == versions
}

// remember keeps what is wrong with the files of a backup.
func (u *unusable) remember(key unusableKey, f unusableFiles) {
	u.mu.Lock()
	defer u.mu.Unlock()

	if u.known == nil {
		u.known = map[unusableKey]unusableFiles{}
	}
	if _, ok := u.known[key]; ok || len(u.known) < maxUnusable {
		u.known[key] = f
	}
}

// keep forgets the backups of a location that have no folder any more.
func (u *unusable) keep(location types.UID, folders []string) {
	u.mu.Lock()
	defer u.mu.Unlock()

	for key := range u.known {
		if key.location == location && !slices.Contains(folders, key.backup) {
			delete(u.known, key)
		}
	}
}

// unlessUnusable reads a backup, unless it is known what is wrong with its files.
// The versions are asked for before the files are read: what comes in between is
// read once more, and never taken for what was bad.
func (p *run) unlessUnusable(ctx context.Context, name string, read func() error) error {
	versions, err := p.versions(ctx, name)
	if err != nil {
		return err
	}
	key := unusableKey{location: p.location.UID, backup: name}
	if problems, ok := p.unusable.find(key, versions); ok {
		p.result.problems = append(p.result.problems, problems...)
		return nil
	}
	before := len(p.result.problems)
	if err := read(); err != nil {
		return err
	}
	found := slices.Clone(p.result.problems[before:])
	if len(found) > 0 && !slices.ContainsFunc(found, func(f problem) bool { return !f.inBucket }) {
		p.unusable.remember(key, unusableFiles{versions: versions, problems: found})
	}
	return nil
}

func (p *run) versions(ctx context.Context, name string) (v fileVersions, err error) {
	if v.metadata, err = p.store.Version(ctx, layout.BackupMetadata(name)); err != nil {
		return v, p.ofOne(name, err)
	}
	if v.volumes, err = p.store.Version(ctx, layout.BackupPodVolumeBackups(name)); err != nil {
		return v, p.ofOne(name, err)
	}
	return v, nil
}
