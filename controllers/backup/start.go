package backup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// defaultCSISnapshotTimeout is Velero's; clients expect the field to be set.
const defaultCSISnapshotTimeout = 10 * time.Minute

// allNamespaces is the entry that Velero fills into an empty list.
const allNamespaces = "*"

// startFacts are what a start writes on the Backup beside defaults.
type startFacts struct {
	server   *version.Info
	excluded []string // namespaces that carry ExcludeFromBackupLabel
	options  Options
}

// start gathers what report writes when a backup starts.
func (r *Reconciler) start(ctx context.Context) (result, error) {
	facts := &startFacts{options: r.Options}
	var err error
	if facts.server, err = r.Discovery.ServerVersionWithContext(ctx); err != nil {
		return result{}, fmt.Errorf("getting the version of the cluster: %w", err)
	}
	if facts.excluded, err = listNamespaces(ctx, r.Reader, client.MatchingLabels{velerov1.ExcludeFromBackupLabel: "true"}); err != nil {
		return result{}, err
	}
	return result{start: facts}, nil
}

// begin writes what every started backup has (velero-facts §2.1). The server's
// default for volumes is not among it: it would hide the policy of namespaces.
func begin(b *velerov1.Backup, o observed, facts *startFacts) {
	setSpecDefaults(b, o.location, facts.options)
	for _, namespace := range facts.excluded {
		if !slices.Contains(b.Spec.ExcludedNamespaces, namespace) {
			b.Spec.ExcludedNamespaces = append(b.Spec.ExcludedNamespaces, namespace)
		}
	}
	b.Labels = with(b.Labels, velerov1.StorageLocationLabel, velerov1.ValidLabelValue(o.location))
	b.Annotations = with(b.Annotations, velerov1.SourceClusterK8sGitVersionAnnotation, facts.server.GitVersion)
	b.Annotations = with(b.Annotations, velerov1.SourceClusterK8sMajorVersionAnnotation, facts.server.Major)
	b.Annotations = with(b.Annotations, velerov1.SourceClusterK8sMinorVersionAnnotation, facts.server.Minor)
	b.Annotations = with(b.Annotations, velerov1.ResourceTimeoutAnnotation, facts.options.ResourceTimeout.String())

	b.Status.Phase = velerov1.BackupPhaseInProgress
	b.Status.Version = velerov1.BackupVersion
	b.Status.FormatVersion = velerov1.BackupFormatVersion
	b.Status.QueuePosition = 0
	b.Status.StartTimestamp = &metav1.Time{Time: o.now}
	b.Status.Expiration = &metav1.Time{Time: o.now.Add(b.Spec.TTL.Duration)}
}

func setSpecDefaults(b *velerov1.Backup, location string, options Options) {
	spec := &b.Spec
	if len(spec.IncludedNamespaces) == 0 {
		spec.IncludedNamespaces = []string{allNamespaces}
	}
	if isTrue(spec.DefaultVolumesToRestic) && spec.DefaultVolumesToFsBackup == nil { //nolint:staticcheck // deprecated, and still in manifests
		yes := true
		spec.DefaultVolumesToFsBackup = &yes
	}
	spec.StorageLocation = location
	spec.TTL.Duration = cmp.Or(spec.TTL.Duration, options.DefaultTTL)
	spec.CSISnapshotTimeout.Duration = cmp.Or(spec.CSISnapshotTimeout.Duration, defaultCSISnapshotTimeout)
	spec.ItemOperationTimeout.Duration = cmp.Or(spec.ItemOperationTimeout.Duration, options.ItemOperationTimeout)
}

func with(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}
