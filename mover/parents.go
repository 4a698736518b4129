package mover

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/repository"
)

// Tags of snapshots. kopia keeps them as labels of the manifest. The first two
// are Velero's and lead it to the parents of its own backups (velero-facts §4.9).
const (
	tagRequester = "snapshot-requester"
	tagUploader  = "snapshot-uploader"
	tagIdentity  = velerov1.VolumeIdentityAnnotation

	// tagNames says that names are escaped as in escapeName.
	tagNames    = "podkeep.io/names"
	namesEscape = "escaped"

	requester = "snapshot-pod-volume"
	uploader  = "kopia"

	description = "Kopia Uploader"
	pin         = "velero-pin"
)

// maxIncomplete bounds how many interrupted snapshots help the next one; each
// costs a look-up per file.
const maxIncomplete = 2

func sourceInfo(b *wire.Backup) snapshot.SourceInfo {
	return snapshot.SourceInfo{Host: repository.Host, UserName: repository.User, Path: b.SourcePath}
}

func tagsOf(b *wire.Backup) map[string]string {
	tags := map[string]string{tagRequester: requester, tagUploader: uploader}
	if b.Identity != "" {
		tags[tagIdentity] = b.Identity
	}
	return tags
}

// parents are the snapshots that a backup compares with: the latest complete
// one, and interrupted ones that came after it.
type parents struct {
	manifests []*snapshot.Manifest
}

// complete returns the latest complete snapshot, or nil.
func (p parents) complete() *snapshot.Manifest {
	for _, m := range p.manifests {
		if m.IncompleteReason == "" {
			return m
		}
	}
	return nil
}

// interrupted returns the others.
func (p parents) interrupted() []manifest.ID {
	var ids []manifest.ID
	for _, m := range p.manifests {
		if m.IncompleteReason != "" {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// findParents looks for snapshots of the same volume identity and, when there
// is no complete one, of the same source by Velero or podkeep.
func findParents(ctx context.Context, rep repo.Repository, b *wire.Backup) (parents, error) {
	if b.Identity != "" {
		p, err := findByLabels(ctx, rep, map[string]string{tagIdentity: b.Identity})
		if err != nil || p.complete() != nil {
			return p, err
		}
	}
	return findByLabels(ctx, rep, map[string]string{
		snapshot.HostnameLabel: repository.Host,
		snapshot.UsernameLabel: repository.User,
		snapshot.PathLabel:     b.SourcePath,
		tagRequester:           requester,
		tagUploader:            uploader,
	})
}

func findByLabels(ctx context.Context, rep repo.Repository, labels map[string]string) (parents, error) {
	labels[manifest.TypeLabelKey] = snapshot.ManifestType
	entries, err := rep.FindManifests(ctx, labels)
	if err != nil {
		return parents{}, fmt.Errorf("listing snapshots: %w", repository.Classify(err))
	}
	// Newest first: all but the first few manifests stay unread.
	slices.SortFunc(entries, func(a, b *manifest.EntryMetadata) int { return b.ModTime.Compare(a.ModTime) })

	var found parents
	for _, e := range entries {
		m, err := snapshot.LoadSnapshot(ctx, rep, e.ID)
		if errors.Is(err, snapshot.ErrSnapshotNotFound) {
			continue // deleted since it was listed
		}
		if err != nil {
			return parents{}, fmt.Errorf("reading snapshot %s: %w", e.ID, repository.Classify(err))
		}
		if m.RootEntry == nil || (m.IncompleteReason != "" && len(found.manifests) == maxIncomplete) {
			continue
		}
		found.manifests = append(found.manifests, m)
		if m.IncompleteReason == "" {
			break
		}
	}
	return found, nil
}
