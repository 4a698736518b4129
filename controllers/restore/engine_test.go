package restore

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// TestEngine restores archives of its own making on one API server. Each part has
// its own backup and namespaces.
func TestEngine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, part := range map[string]func(*testing.T, *world){
		"filters":                                         testFilters,
		"labels bring what pods need":                     testLabels,
		"definitions come before objects":                 testDefinitions,
		"existing objects are left":                       testExistingAreLeft,
		"existing objects are updated":                    testExistingAreUpdated,
		"node ports":                                      testNodePorts,
		"status":                                          testStatus,
		"maps of classes and images":                      testMappings,
		"jobs adopt their pods":                           testJobs,
		"the newest backup of a schedule":                 testSchedule,
		"cancel before the start":                         testCancelBeforeStart,
		"cancel while volumes are filled":                 testCancelVolumes,
		"cancel while hundreds of volumes wait":           testCancelCrowd,
		"cancel while items are written":                  testCancelPass,
		"deletion waits for movers":                       testDeletion,
		"a second pass does not do again":                 testSecondPass,
		"a namespace that is being deleted in the middle": testTerminating,
		"a full workload of the cluster":                  testCrowded,
		"many volumes":                                    testManyVolumes,
		"two restores in one namespace":                   testTwoRestores,
		"volumes without claims":                          testUnclaimedVolumes,
		"a pod that another one takes the place of":       testFollow,
	} {
		t.Run(name, func(t *testing.T) {
			part(t, w.part(t))
		})
	}
}

const existingArchive = `
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {team: one}, annotations: {note: old}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: same, namespace: a}
data: {color: blue}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: differs, namespace: a}
data: {color: blue}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: fixed, namespace: a}
immutable: true
data: {color: blue}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: worker, namespace: a}
imagePullSecrets: [{name: ours}]
`

// existing makes what is in the way of existingArchive.
func (w *world) existing(t *testing.T, namespace string) {
	t.Helper()
	text := `
apiVersion: v1
kind: Namespace
metadata: {name: NS, labels: {team: two, mine: "1"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: same, namespace: NS}
data: {color: blue}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: differs, namespace: NS, labels: {mine: "1"}}
data: {color: red, size: "3"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: fixed, namespace: NS}
immutable: true
data: {color: red}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: worker, namespace: NS}
imagePullSecrets: [{name: theirs}]
`
	for _, u := range objects(w.WithT, strings.ReplaceAll(text, "NS", namespace)) {
		w.Expect(w.client.Create(t.Context(), u)).To(Succeed())
	}
}

func testExistingAreLeft(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "left", existingArchive)
	w.existing(t, "left")

	r := w.run(t, "left", "left", into("left"))

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "left"))
	w.Expect(results(t, w, "left").Warnings.Namespaces["left"]).To(ConsistOf(
		ContainSubstring(`could not restore, ConfigMap "differs" already exists. Warning: the in-cluster version is different than the backed-up version.`),
		ContainSubstring(`could not restore, ConfigMap "fixed" already exists`)))
	w.Expect(configMapData(t, w, "left", "differs")).To(HaveKeyWithValue("color", "red"))
	w.Expect(w.restored(t, "left")).To(Equal(layout.ResourceList{
		"v1/Namespace": {"left(skipped)"}, "v1/ServiceAccount": {"left/worker(updated)"},
		"v1/ConfigMap": {"left/differs(skipped)", "left/fixed(skipped)", "left/same(skipped)"},
	}))
	account := &corev1.ServiceAccount{}
	w.get(t, account, "left", "worker")
	w.Expect(account.ImagePullSecrets).To(Equal([]corev1.LocalObjectReference{{Name: "theirs"}, {Name: "ours"}}))
}

func testExistingAreUpdated(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "updated", existingArchive)
	w.existing(t, "updated")

	r := w.run(t, "updated", "updated", into("updated"), func(r *velerov1.Restore) { r.Spec.ExistingResourcePolicy = velerov1.PolicyTypeUpdate })

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "updated"))
	w.Expect(w.restored(t, "updated")).To(Equal(layout.ResourceList{
		"v1/Namespace": {"updated(updated)"}, "v1/ServiceAccount": {"updated/worker(updated)"},
		"v1/ConfigMap": {"updated/differs(updated)", "updated/fixed(skipped)", "updated/same(updated)"},
	}))
	w.Expect(results(t, w, "updated").Warnings.Namespaces["updated"]).To(ConsistOf(
		And(ContainSubstring("name: /fixed"), ContainSubstring("not updated to what the backup holds"), ContainSubstring("immutable"))))
	differs, fixed, ns := &corev1.ConfigMap{}, &corev1.ConfigMap{}, &corev1.Namespace{}
	w.get(t, differs, "updated", "differs")
	w.Expect(differs.Data).To(Equal(map[string]string{"color": "blue"}))
	w.Expect(differs.Labels).To(Equal(map[string]string{velerov1.RestoreNameLabel: "updated", velerov1.BackupNameLabel: "updated"}))
	w.get(t, fixed, "updated", "fixed")
	w.Expect(fixed.Data).To(Equal(map[string]string{"color": "red"}))
	w.Expect(fixed.Labels).To(HaveKeyWithValue(velerov1.RestoreNameLabel, "updated"), "it is labelled all the same")
	w.get(t, ns, "", "updated")
	w.Expect(ns.Labels).To(And(HaveKeyWithValue("team", "one"), HaveKeyWithValue("mine", "1")), "nothing is taken away")
	w.Expect(ns.Annotations).To(HaveKeyWithValue("note", "old"))
}

func testNodePorts(t *testing.T, w *world) {
	t.Helper()
	archive := `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {type: NodePort, clusterIP: 10.0.0.77, ports: [{port: 80, nodePort: 31234, protocol: TCP}]}
`
	w.backup(t, "ports", archive)
	keepPorts := func(r *velerov1.Restore) { r.Spec.PreserveNodePorts = ptr.To(true) }

	fresh := w.run(t, "ports", "ports", into("ports"))
	kept := w.run(t, "ports-kept", "ports", into("ports-kept"), keepPorts)
	again := w.run(t, "ports-again", "ports", into("ports-kept"), keepPorts)
	taken := w.run(t, "ports-taken", "ports", into("ports-taken"), keepPorts)

	service := &corev1.Service{}
	w.get(t, service, "ports", "web")
	w.Expect(fresh.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted))
	w.Expect(service.Spec.Ports[0].NodePort).NotTo(BeEquivalentTo(31234))
	w.Expect(service.Spec.ClusterIP).NotTo(Equal("10.0.0.77"))
	w.get(t, service, "ports-kept", "web")
	w.Expect(kept.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "ports-kept"))
	w.Expect(service.Spec.Ports[0].NodePort).To(BeEquivalentTo(31234))
	w.Expect(again.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "the port is its own: %s", results(t, w, "ports-again"))
	w.Expect(w.restored(t, "ports-again")).To(HaveKeyWithValue("v1/Service", []string{"ports-kept/web(skipped)"}))
	w.Expect(taken.Status.Phase).To(Equal(velerov1.RestorePhasePartiallyFailed))
	w.Expect(results(t, w, "ports-taken").Errors.Namespaces["ports-taken"]).To(ConsistOf(ContainSubstring("provided port is already allocated")))
}

func testStatus(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "status", `
apiVersion: batch/v1
kind: CronJob
metadata:
  name: wanted
  namespace: a
  managedFields:
  - {manager: flux, operation: Apply, apiVersion: batch/v1, time: "2026-01-01T00:00:00Z", fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:schedule": {}}}}
spec: {schedule: "@daily", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: x, image: x}]}}}}}
status: {lastScheduleTime: "2026-01-01T00:00:00Z"}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: refused, namespace: a, annotations: {velero.io/restore-status: " False "}}
spec: {schedule: "@daily", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: x, image: x}]}}}}}
status: {lastScheduleTime: "2026-01-01T00:00:00Z"}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: demanded, namespace: a, annotations: {velero.io/restore-status: "true"}}
spec: {selector: {matchLabels: {app: x}}, minAvailable: 1}
status: {currentHealthy: 3, desiredHealthy: 1, disruptionsAllowed: 2, expectedPods: 3}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: unclear, namespace: a, annotations: {velero.io/restore-status: "perhaps"}}
spec: {selector: {matchLabels: {app: x}}, minAvailable: 1}
status: {currentHealthy: 3, desiredHealthy: 1, disruptionsAllowed: 2, expectedPods: 3}
`)

	r := w.run(t, "status", "status", into("status"), func(r *velerov1.Restore) {
		r.Spec.RestoreStatus = &velerov1.RestoreStatusSpec{IncludedResources: []string{"cj"}}
	})

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "status"))
	w.Expect(results(t, w, "status").Warnings.Namespaces["status"]).To(ConsistOf(And(ContainSubstring("name: /unclear"), ContainSubstring(`"perhaps"`))))
	wanted, refused := &batchv1.CronJob{}, &batchv1.CronJob{}
	w.get(t, wanted, "status", "wanted")
	w.Expect(wanted.Status.LastScheduleTime).NotTo(BeNil())
	w.Expect(wanted.ManagedFields).To(ContainElement(And(HaveField("Manager", "flux"), HaveField("Operation", metav1.ManagedFieldsOperationApply))))
	w.get(t, refused, "status", "refused")
	w.Expect(refused.Status.LastScheduleTime).To(BeNil())
	for name, want := range map[string]int64{"demanded": 3, "unclear": 0} {
		budget := &unstructured.Unstructured{}
		budget.SetAPIVersion("policy/v1")
		budget.SetKind("PodDisruptionBudget")
		w.get(t, budget, "status", name)
		got, _, _ := unstructured.NestedInt64(budget.Object, "status", "expectedPods")
		w.Expect(got).To(Equal(want), name)
	}
}

func testMappings(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "maps", `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: a}
spec: {storageClassName: slow, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: lost, namespace: a}
spec: {storageClassName: older, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a}
spec: {containers: [{name: app, image: "registry.old/web:1"}]}
`)
	w.Expect(w.client.Create(t.Context(), &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Provisioner: "example.com/x"})).To(Succeed())
	config := func(name, label string, data map[string]string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name, Labels: map[string]string{
			velerov1.PluginConfigLabel: "", label: velerov1.RestoreItemActionKind}}, Data: data}
	}
	classes := config("classes", velerov1.ChangeStorageClassLabel, map[string]string{"slow": "fast", "older": "missing"})
	images := config("images", velerov1.ChangeImageNameLabel, map[string]string{"a": "registry.old/,registry.new/", "b": "broken"})
	w.Expect(w.client.Create(t.Context(), classes)).To(Succeed())
	w.Expect(w.client.Create(t.Context(), images)).To(Succeed())
	t.Cleanup(func() {
		w.Expect(w.client.Delete(context.Background(), classes)).To(Succeed())
		w.Expect(w.client.Delete(context.Background(), images)).To(Succeed())
	})

	r := w.run(t, "maps", "maps", into("maps"))

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhasePartiallyFailed))
	claim, pod := &corev1.PersistentVolumeClaim{}, &corev1.Pod{}
	w.get(t, claim, "maps", "data")
	w.Expect(claim.Spec.StorageClassName).To(HaveValue(Equal("fast")))
	w.get(t, pod, "maps", "web")
	w.Expect(pod.Spec.Containers[0].Image).To(Equal("registry.new/web:1"))
	found := results(t, w, "maps").Errors
	w.Expect(found.Namespaces["maps"]).To(ConsistOf(And(ContainSubstring("name: /lost"), ContainSubstring(`storage class "missing", which is not in this cluster`))))
	w.Expect(found.Velero).To(ConsistOf(ContainSubstring(`ConfigMap images: data.b: Invalid value: "broken"`)))
}

func testJobs(t *testing.T, w *world) {
	t.Helper()
	w.backup(t, "jobs", `
apiVersion: v1
kind: Pod
metadata:
  name: import-1
  namespace: a
  labels: {batch.kubernetes.io/controller-uid: "4b1d", job-name: import}
  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: import, uid: "4b1d", controller: true}]
spec: {restartPolicy: Never, containers: [{name: app, image: x}]}
status: {phase: Running}
---
apiVersion: batch/v1
kind: Job
metadata: {name: import, namespace: a}
spec:
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: "4b1d"}}
  template:
    metadata: {labels: {batch.kubernetes.io/controller-uid: "4b1d", job-name: import}}
    spec: {restartPolicy: Never, containers: [{name: app, image: x}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: lone, namespace: a}
spec:
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: "77aa"}}
  template:
    metadata: {labels: {batch.kubernetes.io/controller-uid: "77aa", job-name: lone}}
    spec: {restartPolicy: Never, containers: [{name: app, image: x}]}
`)

	r := w.run(t, "jobs", "jobs", into("jobs"))

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "jobs"))
	job, pod := &batchv1.Job{}, &corev1.Pod{}
	w.get(t, job, "jobs", "import")
	w.get(t, pod, "jobs", "import-1")
	selector, err := metav1.LabelSelectorAsSelector(job.Spec.Selector)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(selector.Matches(labels.Set(pod.Labels))).To(BeTrue(), "the job adopts its pod")
	w.get(t, job, "jobs", "lone")
	w.Expect(job.Spec.Selector.MatchLabels).NotTo(ContainElement("77aa"), "a job without pods gets a selector of its own")
}

func testSchedule(t *testing.T, w *world) {
	t.Helper()
	of := func(seconds int64, phase velerov1.BackupPhase) func(*velerov1.Backup) {
		return func(b *velerov1.Backup) {
			b.Labels = map[string]string{velerov1.ScheduleNameLabel: "daily"}
			b.Status.Phase, b.Status.StartTimestamp = phase, &metav1.Time{Time: time.Unix(seconds, 0)}
		}
	}
	archive := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: which, namespace: a}\ndata: {backup: NAME}"
	for name, mod := range map[string]func(*velerov1.Backup){
		"daily-1": of(1, velerov1.BackupPhaseCompleted), "daily-2": of(2, velerov1.BackupPhaseCompleted),
		"daily-3": of(3, velerov1.BackupPhasePartiallyFailed), "daily-4": of(4, velerov1.BackupPhaseInProgress),
	} {
		w.backup(t, name, strings.ReplaceAll(archive, "NAME", name), mod)
	}

	r := w.run(t, "scheduled", "", into("scheduled"), func(r *velerov1.Restore) { r.Spec.ScheduleName = "daily" })
	direct := w.run(t, "direct", "daily-1", into("direct"))

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	w.Expect(r.Spec.BackupName).To(Equal("daily-2"))
	w.Expect(configMapData(t, w, "scheduled", "which")).To(HaveKeyWithValue("backup", "daily-2"))
	w.Expect(r.Spec.ExcludedResources).To(ContainElements("nodes", "backups.velero.io"))
	w.Expect(r.Spec.ItemOperationTimeout.Duration).To(Equal(4 * time.Hour))
	w.Expect(direct.Spec.ScheduleName).To(Equal("daily"))
}
