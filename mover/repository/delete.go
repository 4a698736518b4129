package repository

import (
	"context"
	"errors"
	"fmt"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"

	"github.com/podkeep/podkeep/internal/wire"
)

// DeleteSnapshots removes snapshots from a repository, all in one opening. A
// snapshot that is not there, also because there is no repository, is success; so
// is an ID that is not of a snapshot, which is left alone. The space that the
// snapshots took is freed by later maintenance (Maintain).
//
// Its errors match the sentinels of this package. After an error some of the
// snapshots may be gone; calling it again is safe.
func DeleteSnapshots(ctx context.Context, r wire.Repository, ids []string) (err error) {
	if len(ids) == 0 {
		return nil
	}
	if r.Location.ReadOnly {
		return fmt.Errorf("%w: location %s", ErrReadOnly, r.Location.Name)
	}
	opened, err := Open(ctx, r, ForWriting)
	if errors.Is(err, ErrNotInitialized) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close(context.WithoutCancel(ctx))) }()

	err = repo.WriteSession(ctx, opened.Repository, repo.WriteSessionOptions{Purpose: "podkeep deletion"},
		func(ctx context.Context, w repo.RepositoryWriter) error {
			for _, id := range ids {
				if err := deleteSnapshot(ctx, w, manifest.ID(id)); err != nil {
					return fmt.Errorf("snapshot %s: %w", id, err)
				}
			}
			return nil
		})
	if failure := opened.Failure(); failure != nil {
		err = failure // the cause of whatever kopia reports
	}
	if err != nil {
		return fmt.Errorf("deleting snapshots from %s: %w", place(r), Classify(err))
	}
	return nil
}

// deleteSnapshot removes a manifest, if it is one of a snapshot: IDs come from the
// bucket, and other manifests hold what the repository itself needs.
func deleteSnapshot(ctx context.Context, w repo.RepositoryWriter, id manifest.ID) error {
	found, err := w.GetManifest(ctx, id, nil)
	if errors.Is(err, manifest.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Labels[manifest.TypeLabelKey] != snapshot.ManifestType {
		return nil
	}
	return w.DeleteManifest(ctx, id)
}
