package restore

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/restorespec"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	complete := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "nightly"}, Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseCompleted}, Spec: velerov1.BackupSpec{StorageLocation: "default"}}
	running := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "nightly"}, Status: velerov1.BackupStatus{Phase: velerov1.BackupPhaseInProgress}, Spec: velerov1.BackupSpec{StorageLocation: "default"}}
	available := &velerov1.BackupStorageLocation{}
	unavailable := &velerov1.BackupStorageLocation{Status: velerov1.BackupStorageLocationStatus{
		Phase: velerov1.BackupStorageLocationPhaseUnavailable, Message: "no\nroute",
	}}

	tests := map[string]struct {
		restore  func(*velerov1.Restore)
		backup   *velerov1.Backup
		location *velerov1.BackupStorageLocation
		want     []string // beginnings of the problems, in order
	}{
		"the plainest restore is fine": {backup: complete, location: available},
		"what the velero CLI sends is fine": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.Hooks = velerov1.RestoreHooks{}
			r.Spec.IncludedNamespaces = []string{"*"}
			r.Spec.ExcludedResources = slices.Clone(restorespec.NeverRestored)
			r.Spec.ItemOperationTimeout = metav1.Duration{Duration: 4}
			r.Spec.UploaderConfig = &velerov1.UploaderConfigForRestore{}
			r.Spec.RestorePVs = ptr.To(true)
			r.Spec.ExistingResourcePolicy = velerov1.PolicyTypeNone
		}},
		"a backup must be named":      {restore: func(r *velerov1.Restore) { r.Spec.BackupName = "" }, want: []string{"spec.backupName: Required value"}},
		"a backup must exist":         {want: []string{`spec.backupName: Not found: "nightly"`}},
		"a backup must be complete":   {backup: running, location: available, want: []string{`spec.backupName: Invalid value: "nightly": the backup must be Completed or PartiallyFailed and is "InProgress"`}},
		"a backup needs its location": {backup: complete, want: []string{`spec.backupName: Invalid value: its storage location "default" does not exist`}},
		"a location must answer":      {backup: complete, location: unavailable, want: []string{`spec.backupName: Invalid value: its storage location "default" is unavailable: no route`}},
		"a namespace has a name":      {backup: complete, location: available, restore: func(r *velerov1.Restore) { r.Spec.IncludedNamespaces = []string{"Shop"} }, want: []string{`spec.includedNamespaces: Invalid value: "Shop"`}},
		"a broken pattern":            {backup: complete, location: available, restore: func(r *velerov1.Restore) { r.Spec.ExcludedNamespaces = []string{"shop-[a"} }, want: []string{`spec.excludedNamespaces: Invalid value: "shop-[a"`}},
		"a namespace in and out": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.IncludedNamespaces = []string{"a"}
			r.Spec.ExcludedNamespaces = []string{"a"}
		}, want: []string{`spec.excludedNamespaces: Invalid value: "a"`}},
		"a target has a name":       {backup: complete, location: available, restore: func(r *velerov1.Restore) { r.Spec.NamespaceMapping = map[string]string{"a": "A"} }, want: []string{`spec.namespaceMapping[a]: Invalid value: "A"`}},
		"two namespaces become one": {backup: complete, location: available, restore: func(r *velerov1.Restore) { r.Spec.NamespaceMapping = map[string]string{"a": "c", "b": "c"} }, want: []string{`spec.namespaceMapping[b]: Duplicate value: "c"`}},
		"a timeout is a duration":   {backup: complete, location: available, restore: func(r *velerov1.Restore) { r.Annotations = map[string]string{velerov1.PodVolumeTimeoutAnnotation: "4"} }, want: []string{"metadata.annotations[velero.io/pod-volume-timeout]: Invalid value"}},
		"parallelism is not negative": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.UploaderConfig = &velerov1.UploaderConfigForRestore{ParallelFilesDownload: -1}
		}, want: []string{"spec.uploaderConfig.parallelFilesDownload"}},
		"a hook has a command": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.Hooks.Resources = []velerov1.RestoreResourceHookSpec{{PostHooks: []velerov1.RestoreResourceHook{{Exec: &velerov1.ExecRestoreHook{}}}}}
		}, want: []string{"spec.hooks.resources[0].postHooks[0].exec.command: Required value"}},
		"all filters are fine": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.IncludedNamespaces = []string{"a", "b-*"}
			r.Spec.IncludedResources = []string{"pods", "widgets.example.com"}
			r.Spec.ExcludedResources = []string{"secrets"}
			r.Spec.OrLabelSelectors = []*metav1.LabelSelector{{MatchLabels: map[string]string{"a": "b"}}}
			r.Spec.RestoreStatus = &velerov1.RestoreStatusSpec{}
			r.Spec.RestorePVs = ptr.To(false)
			r.Spec.PreserveNodePorts = ptr.To(true)
			r.Spec.IncludeClusterResources = ptr.To(true)
			r.Spec.ExistingResourcePolicy = velerov1.PolicyTypeUpdate
		}},
		"filters must make sense": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
			r.Spec.OrLabelSelectors = []*metav1.LabelSelector{{}}
		}, want: []string{"spec.orLabelSelectors: Forbidden"}},
		"what is never restored cannot be asked for": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.IncludedResources = []string{"pods", "nodes", "backups.velero.io"}
		}, want: []string{`spec.includedResources: Invalid value: "nodes"`, `spec.includedResources: Invalid value: "backups.velero.io"`}},
		"an existing object is left or updated": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.ExistingResourcePolicy = "replace"
		}, want: []string{`spec.existingResourcePolicy: Unsupported value: "replace": supported values: "none", "update"`}},
		"a timeout is not negative": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.ItemOperationTimeout.Duration = -1
		}, want: []string{"spec.itemOperationTimeout: Invalid value"}},
		"a backup or a schedule, not both": {backup: complete, location: available, restore: func(r *velerov1.Restore) { r.Spec.ScheduleName = "daily" },
			want: []string{"spec.scheduleName: Forbidden: must not be used together with backupName"}},
		"the newest backup of a schedule": {backup: complete, location: available, restore: func(r *velerov1.Restore) {
			r.Spec.BackupName, r.Spec.ScheduleName = "", "daily"
		}},
		"a schedule must have a backup": {restore: func(r *velerov1.Restore) {
			r.Spec.BackupName, r.Spec.ScheduleName = "", "daily"
		}, want: []string{`spec.scheduleName: Invalid value: "daily": no completed backup of this schedule`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := restore()
			if tc.restore != nil {
				tc.restore(r)
			}

			got := validate(r, tc.backup, tc.location)

			g.Expect(got).To(HaveLen(len(tc.want)), "%q", got)
			for i := range tc.want {
				g.Expect(got[i]).To(HavePrefix(tc.want[i]))
			}
		})
	}
}
