package backup

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/filter"
)

// queueFacts is all planQueue may look at.
type queueFacts struct {
	// backups are all Backups of the install.
	backups []velerov1.Backup

	// namespaces are those of the cluster. Without them no two backups have one in
	// common; needsNamespaces says when that would be wrong.
	namespaces []string

	// limit is how many backups may run at the same time.
	limit int
}

// place is where a waiting backup is now.
type place struct {
	backup  *velerov1.Backup
	ready   bool   // it may start
	number  int    // its place in the queue, counted from one; 0 when it is ready
	message string // what it waits for; "" when it is ready
}

// planQueue gives every backup that waits its place, in the order of the queue
// (velero-facts §11.2). A backup may start when fewer than limit run and no backup
// that runs, or is before it in the queue, takes one of its namespaces.
func planQueue(f queueFacts) []place {
	running, waiting := splitQueue(f.backups)
	free := f.limit - len(running)
	claimed := map[string]string{} // namespaces, and the backup that takes them
	if needsNamespaces(f) {
		for _, b := range running {
			occupy(claimed, f.namespaces, b)
		}
	}
	var places []place
	number := 0
	for _, b := range waiting {
		p := place{backup: b}
		switch other, namespace := overlap(claimed, f.namespaces, b); {
		case free <= 0:
			p.message = fmt.Sprintf("waiting until fewer than %d backups run", f.limit)
		case other != "":
			p.message = fmt.Sprintf("waiting for backup %s, which takes namespace %s too", other, namespace)
		default:
			p.ready = true
			free--
		}
		if !p.ready {
			number++
			p.number = number
		}
		places = append(places, p)
		occupy(claimed, f.namespaces, b)
	}
	return places
}

// splitQueue returns the backups that count as running, and those that wait, in
// the order of the queue: places that have been given stay, new backups follow by
// age.
func splitQueue(backups []velerov1.Backup) (running, waiting []*velerov1.Backup) {
	for i := range backups {
		b := &backups[i]
		switch {
		case b.DeletionTimestamp != nil:
		case b.Status.Phase == velerov1.BackupPhaseReadyToStart, b.Status.Phase == velerov1.BackupPhaseInProgress:
			running = append(running, b)
		case isWaiting(b) && !isCanceled(b):
			waiting = append(waiting, b)
		}
	}
	slices.SortFunc(waiting, func(a, b *velerov1.Backup) int {
		return cmp.Or(
			cmp.Compare(placeOf(a), placeOf(b)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return running, waiting
}

// isWaiting reports whether the backup is one for the queue.
func isWaiting(b *velerov1.Backup) bool {
	switch b.Status.Phase {
	case "", velerov1.BackupPhaseNew, velerov1.BackupPhaseQueued:
		return true
	default:
		return false
	}
}

// placeOf puts backups without a place behind those that have one.
func placeOf(b *velerov1.Backup) int {
	if b.Status.Phase != velerov1.BackupPhaseQueued || b.Status.QueuePosition <= 0 {
		return math.MaxInt
	}
	return b.Status.QueuePosition
}

// needsNamespaces reports whether the plan depends on what two backups have in
// common.
func needsNamespaces(f queueFacts) bool {
	running, waiting := splitQueue(f.backups)
	return len(waiting) > 0 && len(running) < f.limit && len(running)+len(waiting) > 1
}

// occupy notes that b takes namespaces that nobody before it takes.
func occupy(claimed map[string]string, namespaces []string, b *velerov1.Backup) {
	for _, ns := range namespacesOf(b, namespaces) {
		if claimed[ns] == "" {
			claimed[ns] = b.Name
		}
	}
}

// overlap returns a backup that takes one of b's namespaces, and which.
func overlap(claimed map[string]string, namespaces []string, b *velerov1.Backup) (other, namespace string) {
	if len(claimed) == 0 {
		return "", ""
	}
	for _, ns := range namespacesOf(b, namespaces) {
		if claimed[ns] != "" {
			return claimed[ns], ns
		}
	}
	return "", ""
}

func namespacesOf(b *velerov1.Backup, existing []string) []string {
	if len(existing) == 0 {
		return nil
	}
	f := filter.New(filter.ForBackup(&b.Spec), filter.Catalog{})
	var in []string
	for _, ns := range existing {
		if f.Namespace(ns).Included {
			in = append(in, ns)
		}
	}
	return in
}
