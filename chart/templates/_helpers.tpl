{{- define "hardneg.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "hardneg.selector" -}}
app.kubernetes.io/name: hardneg
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "hardneg.labels" -}}
app.kubernetes.io/name: hardneg
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "hardneg.databaseSecret" -}}
{{ .Values.database.existingSecret | default (printf "%s-database" (include "hardneg.name" .)) }}
{{- end }}

{{- define "hardneg.keysSecret" -}}
{{ .Values.keys.existingSecret | default (printf "%s-keys" (include "hardneg.name" .)) }}
{{- end }}

{{/* The fields that containers of all kinds share. */}}
{{- define "hardneg.container" -}}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
envFrom:
  - configMapRef: {name: {{ include "hardneg.name" .root }}-settings}
  {{- with .root.Values.bucket.credentialsSecret }}
  - secretRef: {name: {{ . }}}
  {{- end }}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: temporary, mountPath: /tmp}
  {{- if eq .component "worker" }}
  - {name: shared-memory, mountPath: /dev/shm}
  {{- end }}
{{- end }}

{{/* The variable that every container needs; KEDA reads it, too. */}}
{{- define "hardneg.databaseVariable" -}}
- name: HARDNEG_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ include "hardneg.databaseSecret" . }}, key: HARDNEG_DATABASE_URL}}
{{- end }}

{{/* The fields that pods of all kinds share; call it with root and component. */}}
{{- define "hardneg.pod" -}}
{{- $own := get .root.Values .component -}}
serviceAccountName: {{ include "hardneg.name" .root }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: 60  # a worker gives its job back between two steps
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with $own.affinity }}
affinity: {{ toJson . }}
{{- end }}
volumes:
  - name: data
    {{- if .root.Values.bucket.url }}
    emptyDir: {}
    {{- else }}
    persistentVolumeClaim:
      claimName: {{ .root.Values.volume.existingClaim | default (printf "%s-data" (include "hardneg.name" .root)) }}
    {{- end }}
  - name: temporary
    emptyDir: {sizeLimit: {{ .root.Values.temporary.sizeLimit }}}
  {{- if eq .component "worker" }}
  - name: shared-memory
    emptyDir: {medium: Memory, sizeLimit: {{ $own.sharedMemory }}}
  {{- end }}
{{- end }}

{{- define "hardneg.podMetadata" -}}
labels:
  {{- include "hardneg.selector" . | nindent 2 }}
annotations:
  checksum/settings: {{ include (print .root.Template.BasePath "/configmap.yaml") .root | sha256sum }}
  checksum/secrets: {{ include (print .root.Template.BasePath "/secrets.yaml") .root | sha256sum }}
  {{- if .root.Values.metrics.annotations }}
  prometheus.io/scrape: "true"
  prometheus.io/path: /metrics
  prometheus.io/port: {{ eq .component "api" | ternary 8000 .root.Values.metrics.port | quote }}
  {{- end }}
{{- end }}

{{/* A Deployment of processes that run jobs; call it with root, component and args. */}}
{{- define "hardneg.jobs" -}}
{{- $own := get .root.Values .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "hardneg.name" .root }}-{{ .component }}
  labels:
    {{- include "hardneg.labels" .root | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false $own) }}
  replicas: {{ $own.replicas }}
  {{- end }}
  selector:
    matchLabels:
      {{- include "hardneg.selector" . | nindent 6 }}
  template:
    metadata:
      {{- include "hardneg.podMetadata" . | nindent 6 }}
    spec:
      {{- include "hardneg.pod" . | nindent 6 }}
      containers:
        # No probe: a process that hangs loses its lease, and another one continues its work.
        - name: {{ .component }}
          args: {{ toJson .args }}
          {{- include "hardneg.container" . | nindent 10 }}
          env:
            {{- include "hardneg.databaseVariable" .root | nindent 12 }}
            - {name: HARDNEG_HOST, value: 0.0.0.0}
            - {name: HARDNEG_METRICS_PORT, value: {{ .root.Values.metrics.port | quote }}}
          ports:
            - {name: metrics, containerPort: {{ .root.Values.metrics.port }}, protocol: TCP}
          resources: {{ toJson $own.resources }}
{{- end }}
