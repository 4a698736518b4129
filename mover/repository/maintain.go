package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotmaintenance"

	"github.com/podkeep/podkeep/internal/wire"
)

// abandonedAfter is how old an interrupted snapshot is that no backup will go on
// from any more. A running backup renews its own every 45 minutes (kopia:
// snapshot/upload, DefaultCheckpointInterval), and the next one of a volume takes
// those of the last over; what is older belongs to a volume that is gone. It would
// hold its data forever: clients delete snapshots that they know, and nobody knows
// of these.
const abandonedAfter = 7 * 24 * time.Hour

// Maintain does what the repository's own schedule says is due, and returns what
// that was. It is safe while movers use the repository; two maintenances of one
// repository must not run at once.
//
// Full cycles free the space of deleted snapshots, the third or fourth after the
// deletion: kopia touches nothing that is younger than 24 hours; the first cycle
// marks what no snapshot needs, the next notices when a backup that ran meanwhile
// needs it after all, a later one removes it (kopia: repo/maintenance, SafetyFull;
// velero-facts §4.6). now is for our own decisions; kopia has its own clock.
//
// Its errors match the sentinels of this package; ErrNotOwner is a repository whose
// maintenance somebody has taken over, who alone may do it then.
func Maintain(ctx context.Context, r wire.Repository, now time.Time) (wire.Cycle, error) {
	if r.Location.ReadOnly {
		return wire.CycleNone, fmt.Errorf("%w: location %s", ErrReadOnly, r.Location.Name)
	}
	opened, err := Open(ctx, r, ForWriting)
	if err != nil {
		return wire.CycleNone, err
	}
	cycle, err := maintain(ctx, opened, now)
	if failure := opened.Failure(); failure != nil {
		err = failure // the cause of whatever kopia reports
	}
	if err != nil {
		err = fmt.Errorf("maintaining %s: %w", opened.place, classifyMaintenance(err))
	}
	return cycle, errors.Join(err, opened.Close(context.WithoutCancel(ctx)))
}

func maintain(ctx context.Context, opened *Repository, now time.Time) (wire.Cycle, error) {
	direct, ok := opened.Repository.(repo.DirectRepository)
	if !ok {
		return wire.CycleNone, fmt.Errorf("%w: not a direct repository", ErrInvalidConfig)
	}
	if err := removeAbandoned(ctx, opened, now); err != nil {
		return wire.CycleNone, fmt.Errorf("removing interrupted snapshots: %w", err)
	}
	before, err := maintenance.GetSchedule(ctx, direct)
	if err != nil {
		return wire.CycleNone, err
	}
	err = repo.DirectWriteSession(ctx, direct, repo.WriteSessionOptions{Purpose: "podkeep maintenance"},
		func(ctx context.Context, w repo.DirectRepositoryWriter) error {
			return snapshotmaintenance.Run(ctx, w, maintenance.ModeAuto, false, maintenance.SafetyFull)
		})
	if err != nil {
		return wire.CycleNone, err
	}
	after, err := maintenance.GetSchedule(ctx, direct)
	if err != nil {
		return wire.CycleNone, err
	}
	return cycleOf(before, after), nil
}

// cycleOf tells what was done from what is due next.
func cycleOf(before, after *maintenance.Schedule) wire.Cycle {
	switch {
	case !after.NextFullMaintenanceTime.Equal(before.NextFullMaintenanceTime):
		return wire.CycleFull
	case !after.NextQuickMaintenanceTime.Equal(before.NextQuickMaintenanceTime):
		return wire.CycleQuick
	default:
		return wire.CycleNone
	}
}

// removeAbandoned removes interrupted snapshots of movers, podkeep's and Velero's.
func removeAbandoned(ctx context.Context, opened *Repository, now time.Time) error {
	abandoned, err := findAbandoned(ctx, opened, now.Add(-abandonedAfter))
	if err != nil || len(abandoned) == 0 {
		return err
	}
	return repo.WriteSession(ctx, opened.Repository, repo.WriteSessionOptions{Purpose: "podkeep maintenance"},
		func(ctx context.Context, w repo.RepositoryWriter) error {
			for _, id := range abandoned {
				if err := w.DeleteManifest(ctx, id); err != nil {
					return err
				}
			}
			return nil
		})
}

func findAbandoned(ctx context.Context, opened *Repository, before time.Time) ([]manifest.ID, error) {
	entries, err := opened.FindManifests(ctx, map[string]string{
		manifest.TypeLabelKey: snapshot.ManifestType, snapshot.HostnameLabel: Host, snapshot.UsernameLabel: User,
	})
	if err != nil {
		return nil, err
	}
	var abandoned []manifest.ID
	for _, e := range entries {
		if !e.ModTime.Before(before) {
			continue
		}
		m, err := snapshot.LoadSnapshot(ctx, opened, e.ID)
		if errors.Is(err, snapshot.ErrSnapshotNotFound) {
			continue // deleted since it was listed
		}
		if err != nil {
			return nil, err
		}
		if m.IncompleteReason != "" {
			abandoned = append(abandoned, e.ID)
		}
	}
	return abandoned, nil
}

func classifyMaintenance(err error) error {
	if other, ok := errors.AsType[maintenance.NotOwnedError](err); ok {
		return fmt.Errorf("%w: %s; give it back with: kopia maintenance set --owner=%s", ErrNotOwner, other.Owner, Owner)
	}
	return Classify(err)
}
