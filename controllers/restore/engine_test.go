package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

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
		"cancel while items are written":                  testCancelPass,
		"deletion waits for movers":                       testDeletion,
		"a second pass does not do again":                 testSecondPass,
		"a namespace that is being deleted in the middle": testTerminating,
		"a full workload of the cluster":                  testCrowded,
		"many volumes":                                    testManyVolumes,
		"two restores in one namespace":                   testTwoRestores,
		"volumes without claims":                          testUnclaimedVolumes,
	} {
		t.Run(name, func(t *testing.T) {
			part(t, w.part(t))
		})
	}
}

const sampleArchive = `
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {team: one}}
---
apiVersion: v1
kind: Namespace
metadata: {name: b}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: a, labels: {app: web}}
data: {color: blue}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: a}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: b}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAME}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: NAME}
provisioner: example.com/none
`

func testFilters(t *testing.T, w *world) {
	tests := map[string]struct {
		spec func(*velerov1.RestoreSpec)
		want []string // kind and name, of what was created
	}{
		"everything": {func(*velerov1.RestoreSpec) {}, []string{
			"ClusterRole NAME", "ConfigMap a-NAME/settings", "ConfigMap b-NAME/other", "Namespace a-NAME", "Namespace b-NAME", "Secret a-NAME/key", "StorageClass NAME"}},
		"a namespace brings nothing of the cluster": {func(s *velerov1.RestoreSpec) { s.IncludedNamespaces = []string{"a"} }, []string{
			"ConfigMap a-NAME/settings", "Namespace a-NAME", "Secret a-NAME/key"}},
		"a namespace and all of the cluster": {func(s *velerov1.RestoreSpec) {
			s.IncludedNamespaces, s.IncludeClusterResources = []string{"b*"}, ptr.To(true)
		}, []string{"ClusterRole NAME", "ConfigMap b-NAME/other", "Namespace b-NAME", "StorageClass NAME"}},
		"nothing of the cluster": {func(s *velerov1.RestoreSpec) { s.IncludeClusterResources = ptr.To(false) }, []string{
			"ConfigMap a-NAME/settings", "ConfigMap b-NAME/other", "Namespace a-NAME", "Namespace b-NAME", "Secret a-NAME/key"}},
		"an excluded namespace": {func(s *velerov1.RestoreSpec) { s.ExcludedNamespaces = []string{"b"} }, []string{
			"ConfigMap a-NAME/settings", "Namespace a-NAME", "Secret a-NAME/key"}},
		"a resource by its short name, in the namespaces that have it": {func(s *velerov1.RestoreSpec) { s.IncludedResources = []string{"secrets", "sc"} }, []string{
			"Namespace a-NAME", "Secret a-NAME/key", "StorageClass NAME"}},
		"all but some resources": {func(s *velerov1.RestoreSpec) {
			s.ExcludedResources = []string{"cm", "clusterroles.rbac.authorization.k8s.io"}
		}, []string{
			"Namespace a-NAME", "Namespace b-NAME", "Secret a-NAME/key", "StorageClass NAME"}},
		"a label": {func(s *velerov1.RestoreSpec) {
			s.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
		}, []string{
			"ConfigMap a-NAME/settings", "Namespace a-NAME"}},
		"one of two labels": {func(s *velerov1.RestoreSpec) {
			s.OrLabelSelectors = []*metav1.LabelSelector{{MatchLabels: map[string]string{"app": "x"}}, {MatchLabels: map[string]string{"team": "one"}}}
		}, []string{"Namespace a-NAME"}},
	}
	n := 0
	for name, tc := range tests {
		n++
		unique := fmt.Sprintf("filter%d", n)
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w.backup(t, unique, strings.ReplaceAll(sampleArchive, "NAME", unique))

			r := w.run(t, unique, unique, func(r *velerov1.Restore) {
				tc.spec(&r.Spec)
				r.Spec.NamespaceMapping = map[string]string{"a": "a-" + unique, "b": "b-" + unique}
			})

			g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v %s", r.Status, results(t, w, unique))
			g.Expect(r.Status.Warnings).To(BeZero(), "%s", results(t, w, unique))
			var created []string
			for kind, names := range w.restored(t, unique) {
				for _, name := range names {
					g.Expect(name).To(HaveSuffix("(created)"))
					created = append(created, kind[strings.LastIndex(kind, "/")+1:]+" "+strings.TrimSuffix(name, "(created)"))
				}
			}
			var want []string
			for _, name := range tc.want {
				want = append(want, strings.ReplaceAll(name, "NAME", unique))
			}
			g.Expect(created).To(ConsistOf(want))
		})
	}
	t.Run("a name that is nowhere is a warning", func(t *testing.T) {
		g := NewWithT(t)
		w.backup(t, "typo", strings.ReplaceAll(sampleArchive, "NAME", "typo"))

		r := w.run(t, "typo", "typo", into("typo"), func(r *velerov1.Restore) {
			r.Spec.IncludedResources = []string{"configmap", "secretz"}
			r.Spec.IncludedNamespaces = []string{"a", "gone", "x-*"}
		})

		g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted))
		g.Expect(results(t, w, "typo").Warnings.Velero).To(ConsistOf(
			ContainSubstring(`no kind of the cluster is called "secretz"`), ContainSubstring(`"gone" is not in the backup`), ContainSubstring(`"x-*" is not in the backup`)))
		g.Expect(configMapData(t, w, "typo", "settings")).To(HaveKeyWithValue("color", "blue"))
	})
}

const labelArchive = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web}}
spec:
  priorityClassName: labels-urgent
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: a}
spec: {containers: [{name: app, image: x}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: a}
spec: {volumeName: labels-volume, storageClassName: "", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: labels-volume}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /tmp/x}
  claimRef: {namespace: a, name: data, uid: "1"}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: labels-other}
spec:
  capacity: {storage: 1Mi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /tmp/x}
  claimRef: {namespace: a, name: unknown, uid: "2"}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: labels-urgent}
value: 7
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: labels-other}
value: 8
`

func testLabels(t *testing.T, w *world) {
	w.backup(t, "labels", labelArchive)

	r := w.run(t, "labels", "labels", into("labels"), func(r *velerov1.Restore) {
		r.Spec.IncludedNamespaces = []string{"a"}
		r.Spec.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	})

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "labels"))
	list := w.restored(t, "labels")
	w.Expect(list).To(HaveKeyWithValue("v1/Pod", []string{"labels/web(created)"}))
	w.Expect(list).To(HaveKeyWithValue("v1/PersistentVolumeClaim", []string{"labels/data(created)"}), "the pod needs it")
	w.Expect(list).To(HaveKeyWithValue("v1/PersistentVolume", []string{"labels-volume(created)"}), "the claim needs it")
	w.Expect(list).To(HaveKeyWithValue("scheduling.k8s.io/v1/PriorityClass", []string{"labels-urgent(created)"}), "the pod needs it")
	pv := &corev1.PersistentVolume{}
	w.get(t, pv, "", "labels-volume")
	w.Expect(pv.Spec.ClaimRef.Namespace).To(Equal("labels"))
	w.Expect(w.client.Get(t.Context(), client.ObjectKey{Name: "labels-other"}, &schedulingv1.PriorityClass{})).NotTo(Succeed())
}

func testUnclaimedVolumes(t *testing.T, w *world) {
	w.backup(t, "unclaimed", strings.ReplaceAll(labelArchive, "labels-", "unclaimed-"))

	r := w.run(t, "unclaimed", "unclaimed", func(r *velerov1.Restore) { r.Spec.IncludedResources = []string{"persistentvolumes"} })

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "unclaimed"))
	w.Expect(w.restored(t, "unclaimed")).To(Equal(layout.ResourceList{"v1/PersistentVolume": {"unclaimed-other(created)", "unclaimed-volume(created)"}}),
		"a retained volume has the only copy of its data")
}

func testDefinitions(t *testing.T, w *world) {
	w.backup(t, "definitions", `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList, shortNames: [wdg]}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  names: {plural: gadgets, singular: gadget, kind: Gadget, listKind: GadgetList}
  scope: Namespaced
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: one, namespace: a}
spec: {size: 3}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: two, namespace: a}
status: {ready: true}
---
apiVersion: unheard.example.com/v1
kind: Thing
metadata: {name: one, namespace: a}
---
apiVersion: unheard.example.com/v1
kind: Thing
metadata: {name: two, namespace: a}
`)

	r := w.run(t, "definitions", "definitions", into("definitions"), func(r *velerov1.Restore) {
		r.Spec.IncludedNamespaces = []string{"a"}
		r.Spec.RestoreStatus = &velerov1.RestoreStatusSpec{IncludedResources: []string{"widgets"}}
	})

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v %s", r.Status, results(t, w, "definitions"))
	list := w.restored(t, "definitions")
	w.Expect(list).To(HaveKeyWithValue("apiextensions.k8s.io/v1/CustomResourceDefinition", []string{"widgets.example.com(created)"}),
		"the definition of what is restored, and no other")
	w.Expect(list).To(HaveKeyWithValue("example.com/v1/Widget", []string{"definitions/one(created)", "definitions/two(created)"}))
	w.Expect(list).To(HaveKeyWithValue("unheard.example.com/v1/Thing", []string{"definitions/one(skipped)", "definitions/two(skipped)"}))
	w.Expect(results(t, w, "definitions").Warnings.Cluster).To(ConsistOf(ContainSubstring(
		"2 items are not restored: this cluster does not know the kind unheard.example.com/v1, Kind=Thing")))
	two := &unstructured.Unstructured{}
	two.SetAPIVersion("example.com/v1")
	two.SetKind("Widget")
	w.get(t, two, "definitions", "two")
	w.Expect(two.Object).To(HaveKeyWithValue("status", map[string]any{"ready": true}), "a kind without the subresource has its status too")
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

const volumeArchive = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: a}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: a}
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: a}
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: v0, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: db-0}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0123"}
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: v1, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: db-1}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0124"}
`

// cancelRestore asks a restore to stop, as the client does.
func (w *world) cancelRestore(t *testing.T, r *velerov1.Restore) {
	t.Helper()
	before := r.DeepCopy()
	if r.Annotations == nil {
		r.Annotations = map[string]string{}
	}
	r.Annotations[velerov1.CancelRequestedByAnnotation] = "ann"
	w.Expect(w.client.Patch(t.Context(), r, client.MergeFrom(before))).To(Succeed())
}

// fills are the volume restores of a restore.
func (w *world) fills(t *testing.T, r *velerov1.Restore) []velerov1.PodVolumeRestore {
	t.Helper()
	list := &velerov1.PodVolumeRestoreList{}
	w.Expect(w.client.List(t.Context(), list, client.InNamespace("velero"), client.MatchingLabels{velerov1.RestoreUIDLabel: string(r.UID)})).To(Succeed())
	return list.Items
}

// agent does to a volume restore what a node agent does.
func (w *world) agent(t *testing.T, v *velerov1.PodVolumeRestore, phase velerov1.PodVolumeRestorePhase) {
	t.Helper()
	before := v.DeepCopy()
	v.Status.Phase, v.Status.Node = phase, "node1"
	w.Expect(w.client.Patch(t.Context(), v, client.MergeFrom(before))).To(Succeed())
}

func testCancelBeforeStart(t *testing.T, w *world) {
	r := w.run(t, "too-early", "no-such-backup", func(r *velerov1.Restore) {
		r.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "ann"}
	})

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed))
	w.Expect(r.Status.FailureReason).To(Equal("canceled by ann"))
	w.Expect(r).To(haveCondition(velerov1.ConditionCompleted, velerov1.ReasonCanceled))
}

func testCancelVolumes(t *testing.T, w *world) {
	w.backup(t, "cancel", volumeArchive)
	r := w.run(t, "cancel", "cancel", into("cancel"))
	fills := w.fills(t, r)
	w.Expect(fills).To(HaveLen(2))
	w.agent(t, &fills[0], velerov1.PodVolumeRestorePhaseInProgress)

	w.cancelRestore(t, r)
	result := w.reconcile(t, r)

	w.Expect(result.RequeueAfter).To(BeNumerically(">", time.Minute), "it waits for the mover, not for the volume that nobody moves")
	w.Expect(r.IsFinished()).To(BeFalse())
	for _, v := range w.fills(t, r) {
		w.Expect(v.Spec.Cancel).To(BeTrue())
		w.Expect(v.Status.Message).To(Equal("canceled by ann"))
	}
	moving := w.fills(t, r)[0]
	if moving.Status.Node == "" {
		moving = w.fills(t, r)[1]
	}
	w.agent(t, &moving, velerov1.PodVolumeRestorePhaseCanceled)
	w.reconcile(t, r)

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed))
	w.Expect(r.Status.FailureReason).To(Equal("canceled by ann"))
	w.Expect(r.Status.CompletionTimestamp).NotTo(BeNil())
	found := results(t, w, "cancel").Errors
	w.Expect(found.Velero).To(ConsistOf(" message: /canceled by ann"))
	w.Expect(found.Namespaces["cancel"]).To(HaveLen(2), "each pod that will not start is named")
	w.Expect(w.restored(t, "cancel")).To(HaveKey("v1/Pod"))
	ns := &corev1.Namespace{}
	w.get(t, ns, "", "cancel")
	w.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel))
}

func testCancelPass(t *testing.T, w *world) {
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}")
	for n := range 100 {
		fmt.Fprintf(&text, "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c-%03d, namespace: a}", n)
	}
	w.backup(t, "cancelpass", text.String())
	r := w.restore(t, "cancelpass", into("cancelpass"), func(r *velerov1.Restore) { r.Spec.BackupName = "cancelpass" })
	fast := testingclock.NewFakeClock(time.Now())
	w.reconciler.Clock = fast
	var written atomic.Int64
	w.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
		if obj.GetObjectKind().GroupVersionKind().Kind == "ConfigMap" {
			if written.Add(1) == 20 {
				other := r.DeepCopy()
				w.Expect(c.Get(ctx, client.ObjectKeyFromObject(r), other)).To(Succeed())
				before := other.DeepCopy()
				other.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "ann"}
				w.Expect(c.Patch(ctx, other, client.MergeFrom(before))).To(Succeed())
			}
			fast.Step(100 * time.Millisecond)
		}
		return c.Create(ctx, obj, opts...)
	}})

	w.reconcile(t, r)
	w.reconcile(t, r)

	w.Expect(written.Load()).To(BeNumerically("<", 60), "the pass ended early")
	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed), "%+v", r.Status)
	w.Expect(r.Status.FailureReason).To(Equal("canceled by ann"))
	w.Expect(r.Status.Progress.TotalItems).To(BeEquivalentTo(101))
	w.Expect(r.Status.Progress.ItemsRestored).To(BeNumerically(">", 0))
	w.Expect(len(w.restored(t, "cancelpass")["v1/ConfigMap"])).To(BeNumerically(">=", 20), "what was made is told")
}

func testDeletion(t *testing.T, w *world) {
	w.backup(t, "deletion", volumeArchive)
	r := w.run(t, "deletion", "deletion", into("deletion"))
	fills := w.fills(t, r)
	w.agent(t, &fills[0], velerov1.PodVolumeRestorePhaseInProgress)
	w.agent(t, &fills[1], velerov1.PodVolumeRestorePhaseCompleted)

	w.Expect(w.client.Delete(t.Context(), r)).To(Succeed())
	w.reconcile(t, r)

	w.Expect(r.Finalizers).To(ContainElement(velerov1.RestoreExternalResourcesFinalizer), "the mover has not stopped")
	fills = w.fills(t, r)
	for n := range fills {
		if !fills[n].IsFinished() {
			w.Expect(fills[n].Spec.Cancel).To(BeTrue())
			w.agent(t, &fills[n], velerov1.PodVolumeRestorePhaseCanceled)
		}
	}
	w.reconcile(t, r)

	w.Expect(apierrors.IsNotFound(w.client.Get(t.Context(), client.ObjectKeyFromObject(r), r))).To(BeTrue())
	keys, err := w.store.List(t.Context(), layout.RestorePrefix("deletion"))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(keys).To(BeEmpty())
	ns := &corev1.Namespace{}
	w.get(t, ns, "", "deletion")
	w.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel))
}

func testSecondPass(t *testing.T, w *world) {
	w.backup(t, "again", strings.ReplaceAll(sampleArchive, "NAME", "again")+"\n---"+volumeArchive)
	r := w.restore(t, "again", func(r *velerov1.Restore) {
		r.Spec.BackupName, r.Spec.NamespaceMapping = "again", map[string]string{"a": "a-again", "b": "b-again"}
		r.Status.Progress = &velerov1.RestoreProgress{TotalItems: 1} // as of a pass that took long enough to write it
	})
	w.webhook = func(context.Context, *corev1.Pod) (*corev1.Pod, error) {
		return nil, apierrors.NewInternalError(errors.New(`failed calling webhook "gate.podkeep.io": refused`))
	}
	w.reconcile(t, r)
	w.Expect(r).To(haveCondition(velerov1.ConditionItemsRestored, velerov1.ReasonWebhookUnavailable))
	w.webhook = w.gate
	var creates, gets atomic.Int64
	w.intercept(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			switch obj.GetObjectKind().GroupVersionKind().Kind {
			case "ConfigMap", "Secret", "ClusterRole", "StorageClass":
				creates.Add(1)
			}
			return c.Create(ctx, obj, opts...)
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			switch obj.GetObjectKind().GroupVersionKind().Kind {
			case "ConfigMap", "Secret", "ClusterRole", "StorageClass":
				gets.Add(1)
			}
			return c.Get(ctx, key, obj, opts...)
		},
	})

	w.reconcile(t, r)

	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForVolumes))
	w.Expect(creates.Load()).To(BeZero(), "they are there")
	w.Expect(gets.Load()).To(BeZero())
	w.Expect(w.fills(t, r)).To(HaveLen(2))
	w.Expect(w.restored(t, "again")).To(HaveKeyWithValue("rbac.authorization.k8s.io/v1/ClusterRole", []string{"again(created)"}), "it was, by this restore")
	role := &rbacv1.ClusterRole{}
	w.get(t, role, "", "again")
}

func testTerminating(t *testing.T, w *world) {
	w.backup(t, "terminating", volumeArchive)
	var once sync.Once
	w.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
		if obj.GetObjectKind().GroupVersionKind().Kind == "Pod" {
			once.Do(func() {
				w.Expect(c.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "terminating"}})).To(Succeed())
			})
		}
		return c.Create(ctx, obj, opts...)
	}})
	r := w.run(t, "terminating", "terminating", into("terminating"))

	w.Expect(r).To(haveCondition(velerov1.ConditionItemsRestored, velerov1.ReasonNamespaceTerminating), "%+v", r.Status)

	ns := &corev1.Namespace{}
	w.get(t, ns, "", "terminating")
	ns.Spec.Finalizers = nil
	_, err := w.clientset.CoreV1().Namespaces().Finalize(t.Context(), ns, metav1.UpdateOptions{})
	w.Expect(err).NotTo(HaveOccurred(), "no controller does it here")
	w.reconcile(t, r)

	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForVolumes), "%+v", r.Status)
	w.Expect(w.restored(t, "terminating")).To(HaveKeyWithValue("v1/Namespace", []string{"terminating(created)"}))
}

func testCrowded(t *testing.T, w *world) {
	pod := func(name string) string {
		return `
apiVersion: v1
kind: Pod
metadata:
  name: ` + name + `
  namespace: a
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: "1", controller: true}]
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: ` + name + `, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: ` + name + `}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0123"}`
	}
	w.backup(t, "crowded", pod("web-1")+"\n---"+pod("web-2"))
	for _, u := range objects(w.WithT, `
apiVersion: v1
kind: Namespace
metadata: {name: crowded}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web, namespace: crowded}
spec: {replicas: 2, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: x}]}}}
`) {
		w.Expect(w.client.Create(t.Context(), u)).To(Succeed())
	}
	set := &unstructured.Unstructured{}
	set.SetAPIVersion("apps/v1")
	set.SetKind("ReplicaSet")
	w.get(t, set, "crowded", "web")
	w.Expect(unstructured.SetNestedField(set.Object, int64(1), "status", "replicas")).To(Succeed())
	w.Expect(w.client.Status().Update(t.Context(), set)).To(Succeed())

	r := w.run(t, "crowded", "crowded", into("crowded"))

	w.Expect(w.restored(t, "crowded")).To(HaveKeyWithValue("v1/Pod", []string{"crowded/web-1(created)", "crowded/web-2(skipped)"}), "one is missing")
	w.Expect(w.fills(t, r)).To(HaveLen(1))
	w.Expect(results(t, w, "crowded").Warnings.Namespaces["crowded"]).To(ConsistOf(
		And(ContainSubstring("name: /web-2"), ContainSubstring(`ReplicaSet "web" is in the cluster and has all its pods`))))
}

func testManyVolumes(t *testing.T, w *world) {
	const pods = 60
	var text strings.Builder
	text.WriteString("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}")
	for n := range pods {
		text.WriteString(strings.ReplaceAll(`
---
apiVersion: v1
kind: Pod
metadata: {name: web-NAME, namespace: a}
spec:
  containers: [{name: app, image: x, volumeMounts: [{name: data, mountPath: /data}]}]
  volumes: [{name: data, emptyDir: {}}]
---
apiVersion: velero.io/v1
kind: PodVolumeBackup
metadata: {name: v-NAME, namespace: velero}
spec: {pod: {kind: Pod, namespace: a, name: web-NAME}, volume: data, uploaderType: kopia, backupStorageLocation: default, node: node1, repoIdentifier: ""}
status: {phase: Completed, snapshotID: "0123"}`, "NAME", fmt.Sprintf("%03d", n)))
	}
	w.backup(t, "many", text.String())
	r := w.run(t, "many", "many", into("many"))
	fills := w.fills(t, r)
	w.Expect(fills).To(HaveLen(pods))
	w.reconciler.Clock = testingclock.NewFakePassiveClock(time.Now().Add(time.Minute))
	var requests atomic.Int64
	w.intercept(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			requests.Add(1)
			return c.Get(ctx, key, obj, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			requests.Add(1)
			return c.List(ctx, list, opts...)
		},
	})

	for range 20 { // as many events as volumes, and all of them are still waiting
		_, err := w.reconciler.Reconcile(t.Context(), requestFor(r))
		w.Expect(err).NotTo(HaveOccurred())
	}

	w.Expect(requests.Load()).To(BeNumerically("<=", 20*4+3), "a few requests for each event, whatever the number of volumes")
	w.get(t, r, "velero", "many")
	w.Expect(r).To(haveCondition(velerov1.ConditionVolumesMoved, velerov1.ReasonWaitingForVolumes))
	w.Expect(r.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("is not scheduled"))))
}

func testTwoRestores(t *testing.T, w *world) {
	w.backup(t, "two", volumeArchive)
	first := w.run(t, "two-first", "two", into("two"))
	pod := &corev1.Pod{}
	w.get(t, pod, "two", "db-1")
	w.Expect(w.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0))).To(Succeed())
	second := w.run(t, "two-second", "two", into("two"))
	w.Expect(w.fills(t, second)).To(HaveLen(1), "the pod that was missing")

	fills := w.fills(t, first)
	for n := range fills {
		w.agent(t, &fills[n], velerov1.PodVolumeRestorePhaseCompleted)
	}
	w.reconcile(t, first)

	w.Expect(first.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "two-first"))
	ns := &corev1.Namespace{}
	w.get(t, ns, "", "two")
	w.Expect(ns.Labels).To(HaveKeyWithValue(velerov1.RestoringLabel, "two-second"), "the other restore is not done")

	w.cancelRestore(t, second)
	w.reconcile(t, second)
	w.get(t, ns, "", "two")
	w.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel))
}
