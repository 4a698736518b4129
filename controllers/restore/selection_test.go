package restore

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
	w.backup(t, "unclaimed", strings.ReplaceAll(labelArchive, "labels-", "unclaimed-"))

	r := w.run(t, "unclaimed", "unclaimed", func(r *velerov1.Restore) { r.Spec.IncludedResources = []string{"persistentvolumes"} })

	w.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s", results(t, w, "unclaimed"))
	w.Expect(w.restored(t, "unclaimed")).To(Equal(layout.ResourceList{"v1/PersistentVolume": {"unclaimed-other(created)", "unclaimed-volume(created)"}}),
		"a retained volume has the only copy of its data")
}

func testDefinitions(t *testing.T, w *world) {
	t.Helper()
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
