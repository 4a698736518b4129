// Package filter decides which namespaces, kinds and items a Backup or a Restore
// takes, and why it leaves the others out.
//
// It is pure: callers gather what discovery says of the kinds (Catalog) and ask
// for verdicts. Filters are those of both specs, so a list means the same in a
// backup and in a restore: ForBackup and ForRestore read them, Validate says what
// is wrong with them, and New resolves the names in them.
//
// It does not know labels and annotations that take single items out, such as
// velero.io/exclude-from-backup. The rules are Velero's (velero-facts §2.1, §5.3,
// §11.1); where a name that fits nothing would silently widen or narrow a
// selection, Notes says so.
package filter

// Reason says why something is in or out. Reasons are API: they appear in logs
// and results, and are never renamed.
type Reason string

const (
	// ReasonIncluded is something that the filters ask for.
	ReasonIncluded Reason = "Included"

	// ReasonNeeded is a kind that the filters do not ask for, and of which items are
	// taken that an included item needs.
	ReasonNeeded Reason = "NeededByIncludedItem"

	// ReasonNamespaceNotIncluded is a namespace that is not in the list of included
	// ones.
	ReasonNamespaceNotIncluded Reason = "NamespaceNotIncluded"

	// ReasonNamespaceExcluded is a namespace in the list of excluded ones.
	ReasonNamespaceExcluded Reason = "NamespaceExcluded"

	// ReasonResourceNotIncluded is a kind that is not in the list of included ones.
	ReasonResourceNotIncluded Reason = "ResourceNotIncluded"

	// ReasonResourceExcluded is a kind in a list of excluded ones.
	ReasonResourceExcluded Reason = "ResourceExcluded"

	// ReasonClusterResourcesExcluded is a cluster-scoped kind where
	// includeClusterResources is false.
	ReasonClusterResourcesExcluded Reason = "ClusterResourcesExcluded"

	// ReasonNotFullSelection is a cluster-scoped kind that only a selection of
	// everything takes unless it is asked for.
	ReasonNotFullSelection Reason = "NotAFullSelection"

	// ReasonLabelsDoNotMatch is an item that no label selector selects.
	ReasonLabelsDoNotMatch Reason = "LabelsDoNotMatch"
)

// Verdict is a decision and its reason.
type Verdict struct {
	Included bool
	Reason   Reason
}

var included = Verdict{Included: true, Reason: ReasonIncluded}

func not(r Reason) Verdict { return Verdict{Reason: r} }
