package sync

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// world is all compare may look at. The order in which it was read is part of the
// reasoning: Backups first, then the folders. A Backup that was Completed then had
// its files in the bucket before the folders were listed.
type world struct {
	location string   // name of the BackupStorageLocation
	folders  []string // names of the folders of backups in it

	// backups are all of the install namespace, of any location.
	backups []velerov1.Backup

	// deleting has the names of backups that a DeleteBackupRequest is about to
	// remove.
	deleting map[string]bool

	// place is where the location leads to now, and recorded where it led to when
	// its Backups were last all there; "" when that is not known.
	place    string
	recorded string
}

// fate is what becomes of one backup.
type fate string

const (
	fateKeep     fate = "Keep"     // the cluster has it, and nothing is to be done
	fateImport   fate = "Import"   // the cluster lacks it
	fateComplete fate = "Complete" // the cluster has it, but maybe not all its volumes
	fateRemove   fate = "Remove"   // the location lacks it
	fateHold     fate = "Hold"     // the location lacks it, and that is suspicious
	fateSkip     fate = "Skip"     // it cannot be in the cluster
)

// verdict is the fate of one backup and why.
type verdict struct {
	name    string
	fate    fate
	why     string           // for people; of a fateKeep for the log only
	backup  *velerov1.Backup // nil for fateImport and some fateSkip
	visible bool             // people should hear of it
}

// compare decides the fate of each backup of a location, sorted by name. Each
// case is one row of the second table in docs/backup-sync.md.
func compare(w world) []verdict {
	known := map[string]*velerov1.Backup{}
	names := map[string]bool{} // and whether there is a folder
	for i := range w.backups {
		b := &w.backups[i]
		known[b.Name] = b
		if b.Spec.StorageLocation == w.location {
			names[b.Name] = false
		}
	}
	for _, name := range w.folders {
		names[name] = true
	}
	trust := trustOf(w, known)
	var verdicts []verdict
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b := known[name]
		v := verdict{}
		switch stored := names[name]; {
		case stored && b == nil:
			v = ofUnknown(w, name)
		case stored:
			v = ofStored(w, b)
		default:
			v = ofMissing(w, b, trust)
		}
		v.name, v.backup = name, b
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// ofUnknown is about a folder without a Backup.
func ofUnknown(w world, name string) verdict {
	problems := validation.IsDNS1123Subdomain(name)
	switch {
	case len(problems) > 0:
		return verdict{fate: fateSkip, why: "the folder's name cannot be that of an object", visible: true}
	case w.deleting[name]:
		return verdict{fate: fateSkip, why: "it is being deleted"}
	default:
		return verdict{fate: fateImport}
	}
}

// ofStored is about a folder with a Backup of its name.
func ofStored(w world, b *velerov1.Backup) verdict {
	switch {
	case b.Spec.StorageLocation == "":
		return verdict{fate: fateKeep, why: "it has not started"}
	case b.Spec.StorageLocation != w.location:
		return verdict{fate: fateSkip, visible: true, why: fmt.Sprintf("the Backup of this name in the cluster is that of location %s", b.Spec.StorageLocation)}
	case b.DeletionTimestamp.IsZero() && b.Annotations[velerov1.SyncingAnnotation] != "":
		return verdict{fate: fateComplete}
	default:
		return verdict{fate: fateKeep}
	}
}

// ofMissing is about a Backup without a folder. Only Backups that were in the
// location once are removed.
func ofMissing(w world, b *velerov1.Backup, t trust) verdict {
	switch {
	case !b.DeletionTimestamp.IsZero():
		return verdict{fate: fateKeep, why: "it is being deleted"}
	case !isStored(b):
		return verdict{fate: fateKeep, why: "it is not of a phase that is always stored"}
	case b.Labels[velerov1.StorageLocationLabel] != velerov1.ValidLabelValue(w.location):
		return verdict{fate: fateKeep, why: "it has not the label of the location"}
	case t == trustLater:
		return verdict{fate: fateHold, why: "it was not known where it came from; the next sync removes it"}
	case t == trustNot:
		return verdict{fate: fateHold, why: "the location does not look like the place it came from", visible: true}
	default:
		return verdict{fate: fateRemove}
	}
}

// trust is whether a Backup that is missing from the location is taken for one
// that was deleted there.
type trust string

const (
	trustNow   trust = "Now"
	trustLater trust = "Later" // from the next sync on
	trustNot   trust = "Not"
)

// trustOf is Now when the location leads to where its Backups came from. Where
// that is not known, which is so before the first sync, a Backup that is in the
// location speaks for it.
func trustOf(w world, known map[string]*velerov1.Backup) trust {
	switch w.recorded {
	case w.place, velerov1.SyncedFromHere:
		return trustNow
	case "":
		for _, name := range w.folders {
			if b := known[name]; b != nil && b.Spec.StorageLocation == w.location && isStored(b) {
				return trustLater
			}
		}
	}
	return trustNot
}

func isStored(b *velerov1.Backup) bool {
	return b.Status.Phase == velerov1.BackupPhaseCompleted || b.Status.Phase == velerov1.BackupPhasePartiallyFailed
}

// nextPlace is what to record after a sync. While Backups are held for people to
// decide, it stays what it was.
func nextPlace(w world, verdicts []verdict) string {
	for _, v := range verdicts {
		if v.fate == fateHold && v.visible {
			return w.recorded
		}
	}
	return w.place
}

// emptySuffix marks a place in which nothing at all was found: a folder that is
// not mounted, a bucket that was made anew.
const emptySuffix = "-empty"

func isEmptyPlace(place string) bool { return strings.HasSuffix(place, emptySuffix) }
