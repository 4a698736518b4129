package layout

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BackupInterim says whose the files are that a backup writes before it exists
// (Interim). It is written first and removed just before BackupMetadata is
// written. Velero knows no such object and leaves it alone.
func BackupInterim(backup string) string { return BackupPrefix(backup) + "podkeep-interim.json.gz" }

// Interim is the mark of files that belong to a backup which is being made, or
// which has failed.
type Interim struct {
	// BackupUID is the UID of the Backup.
	BackupUID string `json:"backupUID"`

	// Cluster is the UID of the namespace kube-system of the cluster that the Backup
	// is in: the only name that every cluster has.
	Cluster string `json:"cluster"`

	// Until is when the backup has ended in any case. After it, the files are of use
	// only to people who look at a Backup that has failed.
	Until metav1.Time `json:"until"`
}
